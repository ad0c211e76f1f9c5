"""What decides: pure functions, values and one generator; nothing here touches the outside."""
