"""GSM8K: its annotated solutions become traces. Nothing outside this folder knows their form."""
