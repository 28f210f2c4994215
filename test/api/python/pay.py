"""Uses the client that openapi-python-client made of docs/openapi.json; says what the signer answered, as JSON."""

import json
import sys

from generated import AuthenticatedClient
from generated.api.payments import (
    discover_orchestrators,
    generate_live_payment,
    sign_orchestrator_info,
)
from generated.models import (
    Error,
    OrchestratorInfoSignature,
    PaymentAnswer,
    PaymentRequest,
)
from generated.models.payment_request_state_type_0 import PaymentRequestStateType0

url, token, orchestrator = sys.argv[1:]
client = AuthenticatedClient(base_url=url, token=token)


# of video, however soon after the payment before it
a_minute = 1_658_880_000


def payment_of(state=None, manifest_id=None, in_pixels=a_minute, **more):
    body = PaymentRequest(orchestrator=orchestrator, in_pixels=in_pixels, **more)
    if state is not None:
        body.state = PaymentRequestStateType0.from_dict(state.to_dict())
        body.manifest_id = manifest_id
    return body


def pay(key=None, **more):
    body = payment_of(**more)
    if key is None:
        return generate_live_payment.sync_detailed(client=client, body=body)
    return generate_live_payment.sync_detailed(
        client=client, body=body, idempotency_key=key
    )


info = sign_orchestrator_info.sync(client=client)
assert isinstance(info, OrchestratorInfoSignature), info
first = pay(key="first")
assert isinstance(first.parsed, PaymentAnswer), first
again = pay(key="first")
second = pay(state=first.parsed.state, manifest_id="a1b2c3d4")
# a pixel at a time, until nothing is due for one
last, not_due = second, None
for _ in range(5):
    pixel = payment_of(
        state=last.parsed.state, manifest_id="a1b2c3d4", in_pixels=1
    )
    try:
        last = generate_live_payment.sync_detailed(client=client, body=pixel)
    except ValueError as error:
        not_due = str(error)
        break
request = generate_live_payment._get_kwargs(body=pixel)
not_due_status = client.get_httpx_client().request(**request).status_code
refused = pay(app="x" * 256)
assert isinstance(refused.parsed, Error), refused
stranger = AuthenticatedClient(base_url=url, token="lhs_nobody")
unknown = sign_orchestrator_info.sync_detailed(client=stranger)
assert isinstance(unknown.parsed, Error), unknown
entries = discover_orchestrators.sync(client=client, caps=["live-video-to-video/scope"])

print(
    json.dumps(
        {
            "address": info.address,
            "payment": first.parsed.payment,
            "is_repeated": again.parsed == first.parsed,
            "second": int(second.status_code),
            "not_due": [not_due, not_due_status],
            "refused": [
                int(refused.status_code),
                refused.headers["Livepeer-Signer-Code"],
                refused.parsed.error.message,
            ],
            "unknown": [int(unknown.status_code), unknown.headers["WWW-Authenticate"]],
            "runners": [
                [entry.address, runner.price_info.price, runner.capacity]
                for entry in entries
                for runner in entry.runners
            ],
        }
    )
)
