"""Asks an app through the real gradio_client, in the environment of a Gradio version.

    python gradio_client_app.py <url> <api name> <question>

It writes one JSON object: what the client reads of the functions, and what it is answered.
"""

from __future__ import annotations

import json
import sys

from gradio_client import Client


def main() -> None:
    url, name, question = sys.argv[1:]
    client = Client(url, verbose=False)
    functions = client.view_api(return_format="dict", print_info=False)
    answer = client.predict(question, api_name=name)
    print(json.dumps({"functions": functions["named_endpoints"], "answer": answer}))


if __name__ == "__main__":
    main()
