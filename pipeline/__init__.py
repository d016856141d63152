"""The release pipeline for mixed-precision MLX quantizations on the Hugging Face Hub."""
