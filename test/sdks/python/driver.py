"""Drives livepeer-gateway as a program does that uses it. Takes one JSON command a line on standard input, and answers
each with one JSON line on standard output. Its payment loops wait `interval` seconds, the first argument, for 3."""

import asyncio
import json
import sys

from livepeer_gateway import remote_signer
from livepeer_gateway.byoc import ByocJobRequest, submit_byoc_job
from livepeer_gateway.errors import SkipPaymentCycle
from livepeer_gateway.live_runner import call_runner
from livepeer_gateway.lv2v import StartJobRequest, start_lv2v
from livepeer_gateway.selection import reserve_session, runner_selector

remote_signer.PAYMENT_INTERVAL_S = float(sys.argv[1])

signer = {}
sessions = {}


async def use(command):
    signer.clear()
    signer["signer_url"] = command["signerUrl"]
    if command.get("headers"):
        signer["signer_headers"] = command["headers"]


async def call(command):
    cursor = await runner_selector(**signer, app=command["app"], body=command["payload"])
    result = await cursor.next()
    return result.data


async def reserve(command):
    session = await reserve_session(**signer, app=command["app"])
    sessions[session.session_id] = session
    return session.session_id


async def call_session(command):
    url = sessions[command["session"]].app_url
    return (await call_runner(f"{url}/echo", payload=command["payload"])).data


async def is_paying(command):
    task = sessions[command["session"]]._payment_task
    return task is not None and not task.done()


async def stop(command):
    await sessions.pop(command["session"]).aclose()


async def start_video(command):
    request = StartJobRequest(model_id=command["model"])
    job = await asyncio.to_thread(start_lv2v, None, request, start_payments=False, **signer)
    sessions[job.manifest_id] = job
    return job.manifest_id


async def pay_video(command):
    try:
        await asyncio.to_thread(sessions[command["session"]].payment_session.send_payment)
    except SkipPaymentCycle:
        return "skipped"
    return "paid"


async def submit_byoc(command):
    request = ByocJobRequest(
        capability=command["capability"],
        payload=command["payload"],
        parameters=command.get("parameters"),
        timeout_seconds=command["timeoutSeconds"],
    )
    result = await asyncio.to_thread(
        submit_byoc_job, request, orch_url=command["orchestrator"], timeout=30, **signer
    )
    return result.data


def describe(error):
    rejections = getattr(error, "rejections", [])
    reasons = [str(rejection.reason) for rejection in rejections]
    return ": ".join([str(error), *reasons])


commands = {
    "use": use,
    "call": call,
    "reserve": reserve,
    "call-session": call_session,
    "is-paying": is_paying,
    "stop": stop,
    "start-video": start_video,
    "pay-video": pay_video,
    "submit-byoc": submit_byoc,
}


async def main():
    while line := await asyncio.to_thread(sys.stdin.readline):
        command = json.loads(line)
        try:
            answer = {"result": await commands[command["do"]](command)}
        except Exception as error:
            answer = {"error": describe(error) or repr(error)}
        print(json.dumps(answer), flush=True)


asyncio.run(main())
