from __future__ import annotations

import math

import pytest

from pipeline.card import figures


@pytest.mark.parametrize(
    ("value", "error", "shown"),
    [
        (12.6284, 0.4123, "12.63 ± 0.41"),
        (3.7771, 0.0204, "3.777 ± 0.020"),
        (3.7771, 0.00996, "3.777 ± 0.010"),
        (97.31, 12.4, "97 ± 12"),
        (1234.5, 123.4, "1234 ± 123"),
        (9.9999, 0.9999, "10.0 ± 1.0"),
        (5.0, 0.0, "5.000 ± 0.000"),
        (math.inf, math.nan, "not finite"),
    ],
)
def test_digits_follow_the_standard_error(value, error, shown):
    assert figures.with_error(value, error) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.031214, "0.0312"), (4.0184, "4.02"), (0.0999999, "0.100"), (123.4, "123"), (0.0, "0.00"), (1e-6, "0.00000100")],
)
def test_without_an_error_three_digits_are_shown_and_never_an_exponent(value, shown):
    assert figures.significant(value) == shown
    assert figures.significant(-value).lstrip("-") == shown
    assert figures.significant(math.nan) == "not finite"


def test_shares_and_nats_come_with_their_unit_and_their_error_where_it_is_known():
    assert (figures.share(0.94123, 0.0026), figures.share(0.94123)) == ("94.12 ± 0.26 %", "94.1 %")
    assert (figures.nats(0.031214, 0.0011), figures.nats(0.031214)) == ("0.0312 ± 0.0011 nats", "0.0312 nats")


def test_a_sign_is_written_unless_nothing_is_left():
    assert figures.signed(0.1234, 2) == "+0.12"
    assert figures.signed(-0.1234, 2) == "\N{MINUS SIGN}0.12"
    assert figures.signed(-0.001, 2) == "0.00"


@pytest.mark.parametrize(
    ("ratio", "shown"),
    [(0.042, "+4.2 %"), (-0.0055, "\N{MINUS SIGN}0.55 %"), (0.41, "+41 %"), (7.0, "+700 %"), (0.0, "0 %")],
)
def test_per_cent_with_two_digits(ratio, shown):
    assert figures.percent(ratio, sign=True) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1.00 kB"),
        (97_432_000, "97.4 MB"),
        (999_499_999, "999 MB"),
        (999_500_000, "1.00 GB"),
        (350_250_000_000, "350 GB"),
        (9_994_999, "9.99 MB"),
        (9_995_000, "10.0 MB"),
    ],
)
def test_sizes_have_three_digits_in_decimal_units(count, shown):
    assert figures.byte_size(count) == shown


def test_counts_in_words_and_in_full():
    assert figures.quantity(134_515_008) == "135 million"
    assert figures.quantity(1_026_408_232_448) == "1.03 trillion"
    assert figures.quantity(576) == "576"
    assert figures.grouped(134_515_008) == "134,515,008"


@pytest.mark.parametrize(
    ("one", "other", "shown"),
    [
        (350_252_158_976, 350_398_959_616, ("350.25 GB", "350.40 GB")),
        (350_252_158_976, 350_252_158_977, ("350.252158976 GB", "350.252158977 GB")),
        (1_000_000_000, 999_000_000, ("1.00 GB", "999 MB")),
        (5, 6, ("5 bytes", "6 bytes")),
        (1, 1, ("1 byte", "1 byte")),
    ],
)
def test_two_sizes_never_look_alike_unless_they_are(one, other, shown):
    assert figures.byte_sizes(one, other) == shown


def test_two_numbers_have_as_many_decimals_as_tell_them_apart():
    assert figures.apart(2.72993, 2.73108) == ("2.730", "2.731")
    assert figures.apart(2.94, 2.73) == ("2.94", "2.73")
    assert figures.apart(2.5, 2.5) == ("2.50", "2.50")
