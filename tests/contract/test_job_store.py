"""What every job store must do, over SQLite and a real PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from nbplat.adapters.store import open_store
from nbplat.config import Config, load_config
from nbplat.errors import Conflict, NotFound
from nbplat.job import Job, JobDraft, JobState, JobStore, Lease, RunDraft, UnitState
from nbplat.job.caller import Caller, end_lost
from nbplat.terms import Progress
from nbplat.testing import FakeClock

LEASE_MS = 10_000
SCOPE = "spend@1/stage"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store_config(request: pytest.FixtureRequest, tmp_path: Path) -> Config:
    options = {"home": str(tmp_path / "home")}
    if request.param == "postgres":
        options["store.url"] = request.getfixturevalue("postgres_url")
    return load_config(options, environ={}, cwd=tmp_path, user_file=tmp_path / "none.toml")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def open_another(store_config: Config, clock: FakeClock) -> Iterator[Callable[[], JobStore]]:
    """Open the same ledger as another process would."""
    opened: list[JobStore] = []

    def make() -> JobStore:
        opened.append(open_store(store_config, clock=clock))
        return opened[-1]

    yield make
    for store in opened:
        store.close()


@pytest.fixture
def store(open_another: Callable[[], JobStore]) -> JobStore:
    return open_another()


DRAFT = RunDraft(
    kind="backfill",
    name="spend",
    identity="a" * 64,
    state="planned",
    live_states=frozenset({"planned", "staged"}),
    spec={"table": "retail.train"},
    plan={"units": 3},
    owner="ann",
)


# -- runs ------------------------------------------------------------------------------------------
def test_an_equal_identity_attaches_while_it_lives(store: JobStore) -> None:
    """The same plan inputs attach to the live run; other inputs open the next number."""
    first, opened = store.open_run(DRAFT)
    again, opened_again = store.open_run(DRAFT)
    other, opened_other = store.open_run(replace(DRAFT, identity="b" * 64))
    assert ("spend@1", True) == (first.id, opened)
    assert (first, False) == (again, opened_again)
    assert ("spend@2", True) == (other.id, opened_other)


def test_a_list_of_runs_may_leave_the_plans_out(store: JobStore) -> None:
    """Without plans each run is the same but for an empty plan; the newest event's number is that of the log."""
    assert 0 == store.last_event()
    run, _ = store.open_run(DRAFT)

    assert [replace(run, plan={})] == store.runs(plans=False)
    assert [run] == store.runs()
    assert store.events()[-1].seq == store.last_event() > 0


def test_a_dead_or_forced_run_is_opened_anew(store: JobStore) -> None:
    """--new, and a run that left its live states, give a new number; numbers are never reused."""
    store.open_run(DRAFT)
    assert "spend@2" == store.open_run(DRAFT, force_new=True)[0].id
    for run_id in ("spend@1", "spend@2"):
        store.move_run("backfill", run_id, "rejected", frm={"planned"})
    assert ("spend@3", True) == ((run := store.open_run(DRAFT))[0].id, run[1])
    assert "spend@1" == store.open_run(replace(DRAFT, kind="sequence"))[0].id


def test_runs_are_listed_newest_first(store: JobStore) -> None:
    """Listing filters by kind and name, newest first, even within one millisecond."""
    for name in ("spend", "orders", "spend"):
        store.open_run(replace(DRAFT, name=name), force_new=True)
    assert ["spend@2", "orders@1", "spend@1"] == [run.id for run in store.runs("backfill")]
    assert ["spend@2", "spend@1"] == [run.id for run in store.runs(name="spend")]
    assert ["spend@2"] == [run.id for run in store.runs(limit=1)]
    assert [] == store.runs("training")


def test_moving_a_run_is_compare_and_swap(store: JobStore, clock: FakeClock) -> None:
    """A move needs the state it starts from; outputs merge; a repeat is safe and silent."""
    store.open_run(DRAFT)
    clock.advance(5)
    moved = store.move_run("backfill", "spend@1", "staged", frm={"planned"}, outputs={"a": 1})
    assert ("staged", {"a": 1}, moved.created_ms + 5000) == (moved.state, moved.outputs, moved.updated_ms)
    events = len(store.events())
    assert moved == store.move_run("backfill", "spend@1", "staged", frm={"planned"}, outputs={"a": 1})
    assert events == len(store.events())
    assert {"a": 1, "b": 2} == store.move_run("backfill", "spend@1", "staged", frm=(), outputs={"b": 2}).outputs
    with pytest.raises(Conflict, match="spend@1 is staged and cannot become audited"):
        store.move_run("backfill", "spend@1", "audited", frm={"auditing"})
    assert {"code": "x"} == store.move_run("backfill", "spend@1", "planned", frm={"staged"}, error={"code": "x"}).error
    assert store.move_run("backfill", "spend@1", "staged", frm={"planned"}).error is None


def test_an_unknown_run_names_the_nearest(store: JobStore) -> None:
    """Reading a run that does not exist says which one may be meant."""
    store.open_run(DRAFT)
    with pytest.raises(NotFound, match="did you mean spend@1"):
        store.run("backfill", "spnd@1")


# -- jobs ------------------------------------------------------------------------------------------
def submit(store: JobStore, kind: str = "backfill.stage", run_id: str = "spend@1") -> str:
    return store.submit(JobDraft(kind, run_id, {"n": 1}), kind_of_run="backfill", owner="ann")[0].id


def claimed(store: JobStore) -> Job:
    job = store.claim_job("w", lease_ms=LEASE_MS)
    assert job is not None
    return job


def test_submitting_twice_is_one_job(store: JobStore) -> None:
    """A live job of the same run and kind is returned; another kind is refused until it ends."""
    job, new = store.submit(JobDraft("backfill.stage", "spend@1"), kind_of_run="backfill", owner="ann")
    assert (True, "j000001", JobState.QUEUED) == (new, job.id, job.state)
    assert (job, False) == store.submit(JobDraft("backfill.stage", "spend@1"), kind_of_run="backfill", owner="bob")
    with pytest.raises(Conflict, match=r"busy with backfill\.stage"):
        submit(store, "backfill.audit")
    assert JobState.CANCELLED == store.request_cancel(job.id).state
    assert "j000002" == submit(store, "backfill.audit")
    assert "j000003" == submit(store, run_id="spend@2")


def test_a_job_walks_from_queued_to_succeeded(store: JobStore, clock: FakeClock) -> None:
    """Claim, heartbeat, report and finish under the fence; times and counts are recorded."""
    job_id = submit(store)
    clock.advance(1)
    job = store.claim_job("w", lease_ms=LEASE_MS)
    assert job is not None
    assert (job_id, JobState.RUNNING, 1, 1, "w") == (job.id, job.state, job.fence, job.attempts, job.worker)
    assert store.claim_job("v", lease_ms=LEASE_MS) is None
    store.report(job_id, 1, Progress(2, 4, "files"))
    store.report(job_id, 1, Progress(1, 4, "files"))
    assert Progress(2, 4, "files") == store.heartbeat(job_id, 1, lease_ms=LEASE_MS).progress
    done = store.finish_job(job_id, 1, JobState.SUCCEEDED, result={"rows": 3})
    assert (JobState.SUCCEEDED, {"rows": 3}, 1000) == (done.state, done.result, done.started_ms - done.created_ms)  # type: ignore[operator]
    assert done == store.job(job_id) == store.request_cancel(job_id)
    with pytest.raises(Conflict):
        store.finish_job(job_id, 1, JobState.FAILED)


def test_a_lapsed_job_goes_to_another_under_a_higher_fence(store: JobStore, clock: FakeClock) -> None:
    """After the lease lapses a second worker claims it, and the first can change nothing any more."""
    job_id = submit(store)
    store.claim_job("w", lease_ms=LEASE_MS)
    clock.advance(9)
    store.heartbeat(job_id, 1, lease_ms=LEASE_MS)
    clock.advance(9)
    assert store.claim_job("v", lease_ms=LEASE_MS) is None
    clock.advance(1)
    taken = store.claim_job("v", lease_ms=LEASE_MS)
    assert taken is not None
    assert (job_id, 2, 2, "v") == (taken.id, taken.fence, taken.attempts, taken.worker)
    for refused in (
        lambda: store.heartbeat(job_id, 1, lease_ms=LEASE_MS),
        lambda: store.report(job_id, 1, Progress(1, 1)),
        lambda: store.finish_job(job_id, 1, JobState.SUCCEEDED),
    ):
        with pytest.raises(Conflict, match="taken over"):
            refused()
    store.release_job(job_id, 1)
    assert JobState.RUNNING == store.job(job_id).state


def test_a_late_heartbeat_keeps_a_job_that_nobody_took(store: JobStore, clock: FakeClock) -> None:
    """A machine that slept past its lease goes on at wake."""
    job_id = submit(store)
    store.claim_job("w", lease_ms=LEASE_MS)
    clock.advance(3600)
    store.heartbeat(job_id, 1, lease_ms=LEASE_MS)
    assert store.claim_job("v", lease_ms=LEASE_MS) is None


def test_a_released_job_is_queued_again(store: JobStore) -> None:
    """A worker that stops gives its job back; the old fence is dead even before the next claim."""
    job_id = submit(store)
    store.claim_job("w", lease_ms=LEASE_MS)
    store.release_job(job_id, 1)
    assert (JobState.QUEUED, None) == ((job := store.job(job_id)).state, job.worker)
    with pytest.raises(Conflict):
        store.finish_job(job_id, 1, JobState.SUCCEEDED)
    with pytest.raises(Conflict):
        store.report(job_id, 1, Progress(1, 1))
    with pytest.raises(Conflict, match="is queued, no longer running"):
        store.heartbeat(job_id, 1, lease_ms=LEASE_MS)
    with pytest.raises(NotFound, match="there is no job"):
        store.heartbeat("x", 1, lease_ms=LEASE_MS)
    again = store.claim_job("v", lease_ms=LEASE_MS)
    assert again is not None
    assert 2 == again.fence


def test_cancel_asks_a_running_job_and_ends_a_queued_one(store: JobStore) -> None:
    """A running job only gets the request; its worker ends it."""
    running = submit(store)
    store.claim_job("w", lease_ms=LEASE_MS)
    assert (JobState.RUNNING, True) == ((job := store.request_cancel(running)).state, job.cancel_requested)
    assert store.heartbeat(running, 1, lease_ms=LEASE_MS).cancel_requested
    assert JobState.CANCELLED == store.finish_job(running, 1, JobState.CANCELLED).state
    queued = submit(store)
    assert JobState.CANCELLED == store.request_cancel(queued).state
    assert store.claim_job("w", lease_ms=LEASE_MS) is None


def test_pause_asks_a_running_job_and_holds_a_queued_one(store: JobStore) -> None:
    """A queued job is paused at once and nobody takes it; a running one is asked, and paused by its holder."""
    queued = submit(store)
    assert JobState.PAUSED == store.request_pause(queued).state == store.request_pause(queued).state
    assert store.claim_job("w", lease_ms=LEASE_MS) is None
    assert JobState.QUEUED == store.resume_job(queued).state
    running = claimed(store)
    assert (JobState.RUNNING, True) == ((job := store.request_pause(running.id)).state, job.pause_requested)
    assert store.heartbeat(running.id, running.fence, lease_ms=LEASE_MS).pause_requested
    paused = store.pause_job(running.id, running.fence)
    assert (JobState.PAUSED, False, None) == (paused.state, paused.pause_requested, paused.worker)
    with pytest.raises(Conflict, match="no longer running"):
        store.report(running.id, running.fence, Progress(1, 2, "files"))
    store.resume_job(running.id)
    assert running.fence + 1 == claimed(store).fence


def test_a_pause_is_taken_back_and_outlives_its_worker(store: JobStore) -> None:
    """Resuming a job that has not paused yet lets it run on; one that was asked to pause is paused when given up."""
    submit(store)
    job = claimed(store)
    store.request_pause(job.id)
    assert (JobState.RUNNING, False) == ((going := store.resume_job(job.id)).state, going.pause_requested)
    store.request_pause(job.id)
    store.release_job(job.id, job.fence)
    assert JobState.PAUSED == store.job(job.id).state
    assert JobState.CANCELLED == store.request_cancel(job.id).state
    for ended in (store.request_pause, store.resume_job):
        with pytest.raises(Conflict, match="has ended"):
            ended(job.id)


def test_jobs_are_listed_newest_first(store: JobStore) -> None:
    """Listing filters by run and state."""
    ids = [submit(store, run_id=f"spend@{n}") for n in (1, 2, 3)]
    store.request_cancel(ids[0])
    assert ids[::-1] == [job.id for job in store.jobs()]
    assert [ids[2], ids[1]] == [job.id for job in store.jobs(states={JobState.QUEUED})]
    assert [ids[1]] == [job.id for job in store.jobs(run_id="spend@2")]


@pytest.mark.parametrize("job_id", ["j000009", "j9", "x", ""])
def test_an_unknown_job_is_not_found(store: JobStore, job_id: str) -> None:
    """Any text that names no job is refused alike."""
    submit(store)
    with pytest.raises(NotFound):
        store.job(job_id)


# -- units -----------------------------------------------------------------------------------------
def claim(store: JobStore, worker: str = "w", *, limit: int = 1, attempts: int = 3) -> list[str]:
    return [u.id for u in store.claim_units(SCOPE, worker, limit=limit, lease_ms=LEASE_MS, max_attempts=attempts)]


def test_units_are_claimed_in_order_and_done_once(store: JobStore) -> None:
    """Planning again adds only what is new; a done unit is never claimed or counted again."""
    store.plan_units(SCOPE, ["b", "a", "B"])
    assert ["B", "a"] == claim(store, limit=2)
    assert store.finish_unit(SCOPE, "a", 1, {"rows": 1})
    assert not store.finish_unit(SCOPE, "a", 1, {"rows": 2})
    store.plan_units(SCOPE, ["a", "b", "c", "c"])
    assert ["b", "c"] == claim(store, limit=9)
    assert [] == claim(store)
    assert {"a": {"rows": 1}} == {u.id: u.result for u in store.units(SCOPE) if u.state is UnitState.DONE}
    assert [] == store.units("other@1/stage")


def test_a_lapsed_unit_refuses_its_old_holder(store: JobStore, clock: FakeClock) -> None:
    """A result that comes after the take-over does not count."""
    store.plan_units(SCOPE, ["a"])
    claim(store)
    clock.advance(10)
    assert ["a"] == claim(store, "v")
    assert not store.finish_unit(SCOPE, "a", 1, {})
    assert not store.fail_unit(SCOPE, "a", 1, {"code": "x"})
    assert store.finish_unit(SCOPE, "a", 2, {})


def test_a_failed_unit_is_tried_up_to_its_limit(store: JobStore) -> None:
    """Failures count; a person's retry clears them."""
    store.plan_units(SCOPE, ["a"])
    for fence in (1, 2):
        assert ["a"] == claim(store, attempts=2)
        assert store.fail_unit(SCOPE, "a", fence, {"code": "boom"})
    assert [] == claim(store, attempts=2)
    assert (UnitState.FAILED, {"code": "boom"}) == ((unit := store.units(SCOPE)[0]).state, unit.error)
    assert 1 == store.reset_failed_units(SCOPE)
    assert ["a"] == claim(store, attempts=2)
    assert (3, 1) == ((unit := store.units(SCOPE)[0]).fence, unit.attempts)


def test_a_unit_that_lapses_at_its_limit_has_failed(store: JobStore, clock: FakeClock) -> None:
    """A unit that kills its worker each time ends as failed, not as leased for ever."""
    store.plan_units(SCOPE, ["a"])
    claim(store, attempts=1)
    clock.advance(10)
    assert [] == claim(store, attempts=1)
    assert (UnitState.FAILED, "unit.abandoned") == ((u := store.units(SCOPE)[0]).state, (u.error or {})["code"])


def test_a_claim_mixes_free_units_in_order_and_leaves_other_scopes_alone(store: JobStore, clock: FakeClock) -> None:
    """Failed, lapsed and pending units are leased by id whatever row was written last, and never over the limit."""
    other = "spend@2/stage"
    for scope in (SCOPE, other):
        store.plan_units(scope, ["e", "d", "c", "b", "a"])
    assert ["a", "b", "c"] == claim(store, limit=3)
    assert store.finish_unit(SCOPE, "b", 1, {"rows": 1})
    assert store.fail_unit(SCOPE, "c", 1, {"code": "boom"})
    clock.advance(10)
    taken = store.claim_units(SCOPE, "v", limit=3, lease_ms=LEASE_MS, max_attempts=3)
    assert [("a", 2, 2), ("c", 2, 2), ("d", 1, 1)] == [(u.id, u.fence, u.attempts) for u in taken]
    units = store.units(SCOPE)
    assert taken == [unit for unit in units if unit.state is UnitState.LEASED]
    assert [UnitState.DONE, UnitState.PENDING] == [units[1].state, units[4].state]
    assert ["a", "c", "d"] == [e.unit_id for e in store.events() if e.kind == "unit.leased"][3:]
    assert {(UnitState.PENDING, 0, 0)} == {(u.state, u.fence, u.attempts) for u in store.units(other)}


def test_units_given_up_are_told_in_order(store: JobStore, clock: FakeClock) -> None:
    """Each abandoned unit has its event with the code, in unit-id order; one with a try left is claimed again."""
    store.plan_units(SCOPE, ["c", "b", "a"])
    claim(store, limit=1, attempts=9)
    clock.advance(10)
    claim(store, limit=3, attempts=9)
    assert store.fail_unit(SCOPE, "b", 1, {"code": "boom"})
    claim(store, attempts=9)
    clock.advance(10)
    assert ["c"] == claim(store, limit=3, attempts=2)
    given_up = [e for e in store.events() if e.kind == "unit.failed"][1:]
    assert [("a", "unit.abandoned"), ("b", "unit.abandoned")] == [(e.unit_id, e.data["code"]) for e in given_up]


def test_released_units_do_not_count_as_tries(store: JobStore) -> None:
    """A worker gives back only what it holds."""
    store.plan_units(SCOPE, ["a", "b"])
    claim(store, "w")
    claim(store, "v")
    assert (1, 0) == (store.release_units(SCOPE, "w"), store.release_units(SCOPE, "w"))
    assert [(UnitState.PENDING, 0), (UnitState.LEASED, 1)] == [(u.state, u.attempts) for u in store.units(SCOPE)]
    assert not store.finish_unit(SCOPE, "a", 1, {})


DIED = {"code": "stage.died", "message": "dead"}


def test_units_of_a_dead_process_count_the_try(store: JobStore) -> None:
    """What a process held when it died waits with its attempt and the reason; without an attempt left it has failed."""
    store.plan_units(SCOPE, ["a", "b", "c"])
    claim(store, "w", limit=1)
    assert store.fail_unit(SCOPE, "a", 1, {"code": "boom"})
    claim(store, "w", limit=2)
    claim(store, "v")
    buried = store.bury_units(SCOPE, "w", max_attempts=2, error=DIED)
    assert [("a", UnitState.FAILED, 2), ("b", UnitState.PENDING, 1)] == [(u.id, u.state, u.attempts) for u in buried]
    assert [DIED, DIED, None] == [u.error for u in store.units(SCOPE)]
    assert [] == store.bury_units(SCOPE, "w", max_attempts=2, error=DIED)
    assert not store.finish_unit(SCOPE, "b", 1, {})
    assert ["unit.failed", "unit.died"] == [e.kind for e in store.events() if e.kind in ("unit.failed", "unit.died")][
        1:
    ]


def test_units_of_a_dead_process_are_claimed_apart(store: JobStore) -> None:
    """`died` takes those only, or leaves them out; giving one back keeps it among them."""
    store.plan_units(SCOPE, ["a", "b", "c"])
    claim(store, "w")
    store.bury_units(SCOPE, "w", max_attempts=3, error=DIED)

    def apart(died: bool | None) -> list[str]:
        taken = store.claim_units(SCOPE, "w", limit=9, lease_ms=LEASE_MS, max_attempts=3, died=died)
        store.release_units(SCOPE, "w")
        return [unit.id for unit in taken]

    assert (["b", "c"], ["a"], ["a", "b", "c"]) == (apart(died=False), apart(died=True), apart(died=None))
    assert [1, 0, 0] == [unit.attempts for unit in store.units(SCOPE)]


def test_a_persons_retry_takes_the_tries_off(store: JobStore) -> None:
    """Units that failed are pending, and units that wait after a death start anew as well."""
    store.plan_units(SCOPE, ["a", "b"])
    claim(store, "w")
    assert store.fail_unit(SCOPE, "a", 1, {"code": "boom"})
    store.claim_units(SCOPE, "w", limit=9, lease_ms=LEASE_MS, max_attempts=1)
    store.bury_units(SCOPE, "w", max_attempts=3, error=DIED)
    assert 1 == store.reset_failed_units(SCOPE)
    assert [(UnitState.PENDING, 0)] * 2 == [(u.state, u.attempts) for u in store.units(SCOPE)]


def test_a_renewed_unit_does_not_lapse(store: JobStore, clock: FakeClock) -> None:
    """Renewing keeps what the worker still holds, and takes nothing back from another."""
    store.plan_units(SCOPE, ["a", "b"])
    claim(store, "w", limit=2)
    clock.advance(10)
    assert ["a"] == claim(store, "v")
    assert (1, 0) == (
        store.renew_units(SCOPE, "w", lease_ms=LEASE_MS),
        store.renew_units("other@1/stage", "w", lease_ms=LEASE_MS),
    )
    assert [] == claim(store, "v")
    assert not store.finish_unit(SCOPE, "a", 1, {})
    assert store.finish_unit(SCOPE, "b", 1, {})
    assert 0 == store.renew_units(SCOPE, "w", lease_ms=LEASE_MS)


def test_several_units_are_finished_at_once(store: JobStore) -> None:
    """Each counts under its own fence; one that is done already or held by another is left out."""
    store.plan_units(SCOPE, ["a", "b", "c"])
    claim(store, limit=3)
    assert store.finish_unit(SCOPE, "a", 1, {"rows": 1})
    done = {"a": (1, {"rows": 9}), "b": (1, {"rows": 2}), "c": (2, {"rows": 3})}
    assert {"b"} == store.finish_units(SCOPE, done)
    assert [{"rows": 1}, {"rows": 2}, None] == [unit.result for unit in store.units(SCOPE)]
    assert ["a", "b"] == [event.unit_id for event in store.events() if event.kind == "unit.done"]


def test_more_units_than_one_statement_takes(store: JobStore) -> None:
    """Thousands of units are planned and claimed in one call each."""
    ids = [f"u{n:04d}" for n in range(1201)]
    store.plan_units(SCOPE, ids)
    assert ids == claim(store, limit=5000)


def test_many_workers_do_each_unit_once(open_another: Callable[[], JobStore]) -> None:
    """Eight stores claim at once; every unit is done by exactly one of them."""
    stores = [open_another() for _ in range(8)]
    ids = [f"u{n:03d}" for n in range(60)]
    stores[0].plan_units(SCOPE, ids)
    start = threading.Barrier(8)

    def work(number: int) -> list[str]:
        start.wait()
        mine = []
        while claimed := stores[number].claim_units(SCOPE, f"w{number}", limit=2, lease_ms=60_000_000, max_attempts=3):
            mine += [u.id for u in claimed if stores[number].finish_unit(SCOPE, u.id, u.fence, {"by": number})]
        return mine

    with ThreadPoolExecutor(8) as pool:
        done = [unit for mine in pool.map(work, range(8)) for unit in mine]
    assert ids == sorted(done)
    assert {1} == {u.attempts for u in stores[0].units(SCOPE)}


def test_racing_callers_open_one_run_and_one_job(open_another: Callable[[], JobStore]) -> None:
    """Open, submit and claim from many threads: one run, one job, one claim."""
    stores = [open_another() for _ in range(6)]
    start = threading.Barrier(6)

    def race(store: JobStore) -> tuple[bool, bool, bool]:
        start.wait()
        opened = store.open_run(DRAFT)[1]
        queued = store.submit(JobDraft("backfill.stage", "spend@1"), kind_of_run="backfill", owner="ann")[1]
        return opened, queued, store.claim_job("w", lease_ms=60_000_000) is not None

    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(race, stores))
    assert [1, 1, 1] == [sum(column) for column in zip(*results, strict=True)]


# -- leases ----------------------------------------------------------------------------------------
def test_a_lease_is_fenced(store: JobStore, clock: FakeClock) -> None:
    """One holder at a time; a take-over is told and shuts the old holder out."""
    mine = store.take_lease("retail.train", "ann", ttl_ms=LEASE_MS)
    assert Lease("retail.train", "ann", 1, clock.now_ms() + LEASE_MS) == mine
    with pytest.raises(Conflict, match="held by ann until 2023-11-14T22:13:30Z"):
        store.take_lease("retail.train", "bob", ttl_ms=LEASE_MS)
    clock.advance(5)
    assert (1, clock.now_ms() + LEASE_MS) == (
        (again := store.take_lease("retail.train", "ann", ttl_ms=LEASE_MS)).fence,
        again.until_ms,
    )
    clock.advance(10)
    theirs = store.take_lease("retail.train", "bob", ttl_ms=LEASE_MS)
    assert (2, True) == (theirs.fence, theirs.taken_over)
    with pytest.raises(Conflict, match="no longer with ann"):
        store.renew_lease(mine, ttl_ms=LEASE_MS)
    store.release_lease(mine)
    assert theirs.until_ms + 5000 == store.renew_lease(theirs, ttl_ms=LEASE_MS + 5000).until_ms
    store.release_lease(theirs)
    free = store.take_lease("retail.train", "ann", ttl_ms=LEASE_MS)
    assert (3, False) == (free.fence, free.taken_over)


# -- events ----------------------------------------------------------------------------------------
def test_every_change_is_told_in_order(store: JobStore) -> None:
    """The log names what happened; reading goes on after a number, for all or for one run."""
    store.open_run(DRAFT)
    job_id = submit(store)
    store.plan_units(SCOPE, ["a"])
    claim(store)
    store.finish_unit(SCOPE, "a", 1, {})
    last = store.emit("note", run_id="other@1", data={"n": 1})
    events = store.events()
    assert ["run.opened", "job.submitted", "unit.planned", "unit.leased", "unit.done", "note"] == [
        event.kind for event in events
    ]
    assert (job_id, "a", last) == (events[1].job_id, events[4].unit_id, events[5].seq)
    assert sorted({e.seq for e in events}) == [e.seq for e in events]
    assert events[2:4] == store.events(after=events[1].seq, limit=2)
    assert events[:5] == store.events(run_id="spend@1")
    assert [] == store.events(after=last)


def test_a_reader_never_sees_a_lower_number_later(open_another: Callable[[], JobStore]) -> None:
    """While many write, one who always asks after the last number it saw misses none."""
    writers, reader = [open_another() for _ in range(4)], open_another()
    seen: list[int] = []
    finished = threading.Event()

    def read() -> None:
        while True:
            last_round = finished.is_set()
            seen.extend(e.seq for e in reader.events(after=seen[-1] if seen else 0))
            if last_round:
                return

    def write(store: JobStore) -> None:
        for _ in range(25):
            store.emit("tick")

    with ThreadPoolExecutor(5) as pool:
        reading = pool.submit(read)
        list(pool.map(write, writers))
        finished.set()
        reading.result()
    assert [e.seq for e in reader.events()] == seen
    assert 100 == len(seen)


@pytest.mark.parametrize("statement", ["UPDATE nbplat_event SET kind = 'forged'", "DELETE FROM nbplat_event"])
def test_events_cannot_be_changed(store: JobStore, store_config: Config, statement: str) -> None:
    """The database itself refuses to change or delete an event."""
    import sqlalchemy as sa
    import sqlalchemy.exc as sa_exc

    store.emit("tick")
    url = store_config.store_url.replace("postgresql:", "postgresql+psycopg:")
    engine = sa.create_engine(url or f"sqlite:///{store_config.home / 'store.db'}")
    with pytest.raises(sa_exc.DBAPIError, match="append-only"), engine.begin() as connection:
        connection.execute(sa.text(statement))
    engine.dispose()
    assert ["tick"] == [event.kind for event in store.events()]


# -- jobs of callers -------------------------------------------------------------------------------
HERE = Caller("here", 7, 1.5)


def _begun(store: JobStore, name: str, caller: Caller) -> Job:
    run, _ = store.open_run(replace(DRAFT, name=name))
    draft = JobDraft("training.run", run.id)
    return store.begin_job(draft, kind_of_run="backfill", owner="ann", worker=caller.worker, lease_ms=LEASE_MS)


def test_a_callers_job_is_begun_and_never_claimed(store: JobStore, clock: FakeClock) -> None:
    """It runs from its first moment, under a fence; lapsed or not no worker gets it, and its run has no second one."""
    job = _begun(store, "spend", HERE)
    assert (JobState.RUNNING, 1, HERE) == (job.state, job.fence, Caller.of(job.worker))
    assert job.started_ms is not None
    assert job.started_ms + LEASE_MS == job.until_ms
    with pytest.raises(Conflict, match=r"run\.busy"):
        _begun(store, "spend", HERE)
    clock.advance(LEASE_MS / 1000)
    assert store.claim_job("w1", lease_ms=LEASE_MS) is None
    store.heartbeat(job.id, job.fence, lease_ms=LEASE_MS)
    assert JobState.SUCCEEDED == store.finish_job(job.id, job.fence, JobState.SUCCEEDED, result={"a": 1}).state


def test_jobs_of_dead_callers_are_ended(store: JobStore, clock: FakeClock) -> None:
    """On this machine as soon as the process is gone, on another when its lease has lapsed; those of workers never."""
    dead, there, alive = _begun(store, "a", Caller("here", 8, 1.0)), _begun(store, "b", Caller("there", 7, 1.5)), HERE
    mine = _begun(store, "c", alive)
    store.open_run(DRAFT)
    store.submit(JobDraft("backfill.stage", "spend@1"), kind_of_run="backfill", owner="ann")
    store.claim_job("w1", lease_ms=1)
    settled: list[Job] = []

    def look() -> list[str]:
        now = clock.now_ms()
        found = end_lost(store, host="here", lives=lambda who: who == alive, now_ms=now, settle=settled.append)
        return [job.id for job in found]

    assert [dead.id] == look()
    assert [] == look()
    clock.advance(LEASE_MS / 1000)
    assert [there.id] == look()
    assert ["job.lost"] * 2 == [job.error["code"] for job in settled if job.error]
    assert JobState.RUNNING == store.job(mine.id).state
