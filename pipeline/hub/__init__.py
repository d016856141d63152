"""Where models come from and go to: huggingface.co, or the embedded Hub of `pipeline.hub.local`."""

LOCAL_PORT = 8600
"""Where `pipeline hub` listens unless told otherwise; cards of rehearsals name it."""
