"""The only room that prints: results to standard output, everything said along the way to standard error."""

from pipeline.console.card_diff import show_card_diff
from pipeline.console.comparison import show_comparison
from pipeline.console.messages import show_error, show_json, show_note, show_text
from pipeline.console.plan import show_plan, show_status
from pipeline.console.progress import Progress
from pipeline.console.published import show_rollback, show_verified, show_withdrawal
from pipeline.console.recipe import show_recipe, show_shares
from pipeline.console.results import Summary, show_summary, show_verdicts
from pipeline.console.scaffold import Begun, show_scaffold
from pipeline.console.sizes import show_sizes
from pipeline.console.sizes_page import show_sizes_page

__all__ = [
    "Begun",
    "Progress",
    "Summary",
    "show_card_diff",
    "show_comparison",
    "show_error",
    "show_json",
    "show_note",
    "show_plan",
    "show_recipe",
    "show_rollback",
    "show_scaffold",
    "show_shares",
    "show_sizes",
    "show_sizes_page",
    "show_status",
    "show_summary",
    "show_text",
    "show_verdicts",
    "show_verified",
    "show_withdrawal",
]
