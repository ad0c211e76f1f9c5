"""A model file in the GGUF format with random weights: a llama of one layer whose tokens are single bytes.

Its answers are noise. A server that holds them to a grammar can still send nothing but JSON that fits the schema.
"""

from __future__ import annotations

import random
import struct
from pathlib import Path
from typing import Any

__all__ = ["write_model"]

WIDTH, HEADS, HIDDEN, CONTEXT = 32, 4, 64, 2048
ALIGNMENT = 32
UINT32, FLOAT32, STRING, ARRAY, INT32 = 4, 6, 8, 9, 5
TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
)


def _text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def _field(name: str, kind: int, value: bytes) -> bytes:
    return _text(name) + struct.pack("<I", kind) + value


def _array(name: str, kind: int, items: list[bytes]) -> bytes:
    return _field(name, ARRAY, struct.pack("<IQ", kind, len(items)) + b"".join(items))


def _tokens() -> list[tuple[str, int]]:
    """Return the tokens with their types: unknown (2), control (3) and byte (6)."""
    return [("<unk>", 2), ("<s>", 3), ("</s>", 3), *((f"<0x{n:02X}>", 6) for n in range(256))]


def _fields() -> list[bytes]:
    tokens = _tokens()
    numbers = {
        "llama.block_count": 1,
        "llama.context_length": CONTEXT,
        "llama.embedding_length": WIDTH,
        "llama.feed_forward_length": HIDDEN,
        "llama.attention.head_count": HEADS,
        "llama.attention.head_count_kv": HEADS,
        "llama.rope.dimension_count": WIDTH // HEADS,
        "llama.vocab_size": len(tokens),
        "general.alignment": ALIGNMENT,
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
    }
    texts = {
        "general.architecture": "llama",
        "general.name": "random",
        "tokenizer.ggml.model": "llama",
        "tokenizer.chat_template": TEMPLATE,
    }
    return [
        *(_field(name, STRING, _text(value)) for name, value in texts.items()),
        *(_field(name, UINT32, struct.pack("<I", value)) for name, value in numbers.items()),
        _field("llama.attention.layer_norm_rms_epsilon", FLOAT32, struct.pack("<f", 1e-5)),
        _array("tokenizer.ggml.tokens", STRING, [_text(token) for token, _ in tokens]),
        _array("tokenizer.ggml.scores", FLOAT32, [struct.pack("<f", 0.0)] * len(tokens)),
        _array("tokenizer.ggml.token_type", INT32, [struct.pack("<i", kind) for _, kind in tokens]),
    ]


def _shapes() -> dict[str, tuple[int, ...]]:
    """Return the tensors of the model by name, the fastest dimension first."""
    size = len(_tokens())
    square = (WIDTH, WIDTH)
    return {
        "token_embd.weight": (WIDTH, size),
        "output_norm.weight": (WIDTH,),
        "output.weight": (WIDTH, size),
        "blk.0.attn_norm.weight": (WIDTH,),
        "blk.0.attn_q.weight": square,
        "blk.0.attn_k.weight": square,
        "blk.0.attn_v.weight": square,
        "blk.0.attn_output.weight": square,
        "blk.0.ffn_norm.weight": (WIDTH,),
        "blk.0.ffn_gate.weight": (WIDTH, HIDDEN),
        "blk.0.ffn_up.weight": (WIDTH, HIDDEN),
        "blk.0.ffn_down.weight": (HIDDEN, WIDTH),
    }


def write_model(path: Path) -> None:
    """Write the model; the same weights every time."""
    chance = random.Random(7)
    head: list[Any] = []
    data = b""
    for name, shape in _shapes().items():
        count = 1
        for side in shape:
            count *= side
        head.append(
            _text(name)
            + struct.pack("<I", len(shape))
            + b"".join(struct.pack("<Q", side) for side in shape)
            + struct.pack("<IQ", 0, len(data))  # 32-bit numbers
        )
        values = [1.0 if "norm" in name else chance.gauss(0, 0.1) for _ in range(count)]
        data += struct.pack(f"<{count}f", *values)
        data += b"\0" * (-len(data) % ALIGNMENT)
    fields = _fields()
    begin = b"GGUF" + struct.pack("<IQQ", 3, len(head), len(fields))
    begin += b"".join(fields) + b"".join(head)
    path.write_bytes(begin + b"\0" * (-len(begin) % ALIGNMENT) + data)
