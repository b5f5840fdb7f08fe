"""`resume`: lifts the cooldown that the provider asked for, and has what waits be tried at once."""

from rich.console import Console

from lookup_pipeline.ledger import allowances, limits
from lookup_pipeline.ledger.resumption import resume_now
from lookup_pipeline.ledger.times import utc_now
from lookup_pipeline.resources import LedgerResource


def resume(console: Console) -> None:
    """Lift cooldowns, have exhausted quotas be looked at again, and make what waits due.

    Nothing is sent here: `queued_lookups_sensor`, or the next run, does it.
    """
    with LedgerResource().open().write() as connection:
        now = utc_now()
        lifted = limits.cooldowns(connection, now)
        limits.lift_cooldowns(connection)
        allowances.look_again(connection, now)
        dates = resume_now(connection, now)
    told = [
        f"Cooldown of {name} until {at:%Y-%m-%d %H:%M:%S} UTC lifted."
        for name, at in lifted.items()
    ]
    if dates:
        told.append(f"Resumed at the next tick of queued_lookups_sensor: {', '.join(dates)}.")
    for each in told or ["Nothing waits for its time."]:
        console.print(each, soft_wrap=True)
