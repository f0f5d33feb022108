"""What must hold of the bundle in any case. `from quickthorn.latency_suite import *` is the whole latency suite."""

from __future__ import annotations

from quickthorn.latency_suite import *  # noqa: F403

PAYMENT = {"event_id": "p-1", "at": "2026-03-01T12:00:00Z", "customer": "c", "terminal": "t", "amount": 2_000}


def test_a_small_payment_on_a_known_device_is_approved(quickthorn_engine):
    assert quickthorn_engine.score({**PAYMENT, "device_new": False}).outcome == "approve"


def test_a_payment_that_lacks_its_amount_goes_to_a_person(quickthorn_engine):
    decision = quickthorn_engine.score({**PAYMENT, "amount": None, "device_new": False})
    assert (decision.status, decision.outcome) == ("invalid", "review")
