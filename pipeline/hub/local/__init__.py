"""An embedded Hub server for rehearsals: enough of huggingface.co for its own client, on 127.0.0.1 only."""
