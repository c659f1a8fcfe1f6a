"""Adjusts requests that are valid by their schema but break a rule that a schema cannot express."""

import decimal

import schemathesis

LARGEST_TOTAL = decimal.Decimal("9999999999.99")


@schemathesis.hook
def before_call(context, case, kwargs):
    if not case.meta.generation.mode.is_positive:
        return
    # Only the API can make a valid cursor. The API's own tests cover invalid ones.
    if case.query:
        case.query.pop("cursor", None)
        case.query.pop("after", None)
    if case.headers:
        case.headers.pop("Last-Event-ID", None)
    # Only the description of a price limits its decimals.
    if isinstance(case.body, dict):
        for item in case.body.get("items", []):
            item["price"] = round(item["price"], 2)
    # The currencies are a setting of the API.
    if isinstance(case.body, dict) and "currency" in case.body:
        case.body["currency"] = "EUR"
    # The total of an order is limited; a schema cannot express a sum.
    if isinstance(case.body, dict) and total(case.body.get("items", [])) > LARGEST_TOTAL:
        case.body = {**case.body, "items": [{**case.body["items"][0], "quantity": 1}]}


def total(items):
    return sum(decimal.Decimal(str(item["price"])) * int(item["quantity"]) for item in items)
