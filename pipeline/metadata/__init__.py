"""The Hub's rules for a card's front matter, and what a base model's own card says of itself."""
