"""Where models come from and go to: huggingface.co, or the embedded Hub of `pipeline.hub.local`."""
