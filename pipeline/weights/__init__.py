"""Everything about weights and the files that hold them; no text passes through here, so no tokenizer does either."""

from __future__ import annotations

from pipeline.weights.mlx_lm_models import defer

defer()
