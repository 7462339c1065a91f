"""One container's life: image, attempts, probes, restarts. What a kubelet does for a container."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial

from vnodectl.engines.api import (
    ContainerSpec,
    ContainerStatus,
    EngineError,
    PullPolicy,
    RestartPolicy,
    Running,
    Terminated,
    Waiting,
)
from vnodectl.engines.backoff import RestartBackoff, RetryBackoff
from vnodectl.engines.driver import Attempt, BadConfig, CannotRun, Image
from vnodectl.engines.group import Group
from vnodectl.engines.hooks import carry_out
from vnodectl.engines.probes import Prober
from vnodectl.engines.status import credentials_for, initial_status, should_restart
from vnodectl.engines.tasks import background, first, to_the_end
from vnodectl.references import reference_error

LEAST_GRACE = 2.0  # seconds that a kubelet leaves to a container whatever its preStop hook took
KEPT_ATTEMPTS = 2  # the current one and the one that `logs --previous` shows
CANNOT_RUN_CODE = 128  # what the kubelet reports with containerd's StartError


class ContainerRunner:
    """Keeps one container as its spec and restart policy want it. `status` is always current."""

    def __init__(
        self, spec: ContainerSpec, group: Group, policy: RestartPolicy, *, init: bool, after_init: bool
    ) -> None:
        self.spec = spec
        self.status = initial_status(spec, after_init=after_init)
        self._group = group
        self._policy = policy
        self._init = init
        self._number = -1
        self._renewed = -1
        self._attempt: Attempt | None = None
        self._kept: list[Attempt] = []
        self._backoff = RestartBackoff(group.settings.restart)
        self.begun = asyncio.Event()
        """Set once it has started (its startup probe included) for the first time."""

    # --- what the group does with it ------------------------------------------------------------

    @property
    def running(self) -> bool:
        return self._attempt is not None and isinstance(self._attempt.state, Running)

    @property
    def seen_before(self) -> bool:
        """Whether it was ever started since the group was (re)started."""
        return self._number > self._renewed

    def adopt(self, attempts: list[Attempt]) -> None:
        """Take over what exists, in order of number: after a restart of the engine, or before a stop."""
        if not attempts:
            return
        last = attempts[-1]
        self._kept = list(attempts)
        self._number = max(self._number, last.number)
        if last.number <= self._renewed and not isinstance(last.state, Running):
            return
        self._attempt = last
        ended = [one.state for one in attempts[:-1] if isinstance(one.state, Terminated)]
        self.status = replace(self.status, previous=ended[-1] if ended else None)
        self._show_attempt(last)

    def lose(self, finished: float) -> None:
        """The attempt was taken away from outside, with the group's network."""
        attempt = self._attempt
        self._kept = []
        if attempt is not None and attempt.state is None:
            self._attempt = None
        elif attempt is not None and isinstance(attempt.state, Running):
            message = "the network of the group was lost"
            self._record_end(
                attempt,
                Terminated(137, "Error", attempt.state.started_at, finished, message, 9, attempt.id),
            )

    def renew(self) -> None:
        """Forget how it ended: the next `run` starts a new attempt."""
        self._renewed = self._number
        self.begun.clear()
        self._attempt = None
        self._backoff = RestartBackoff(self._group.settings.restart)
        self._wait_for("ContainerCreating")

    async def run(self) -> Terminated:
        """Start it and keep it running until it has ended for good; say how."""
        while True:
            attempt = self._attempt or await self._launch()
            if attempt.state is None:
                attempt = await self._start(attempt)
            ended = attempt.state if isinstance(attempt.state, Terminated) else await self._follow(attempt)
            self._record_end(attempt, ended)
            if not should_restart(self._policy, ended.exit_code):
                return ended
            await self._pause()
            self._attempt = None

    async def stop(self, grace: float) -> None:
        """End the running attempt, by force after `grace` seconds."""
        attempt = self._attempt
        if attempt is None or not isinstance(attempt.state, Running):
            return
        await self._end(attempt, grace, f"Stopping container {self.spec.name}")
        self._record_end(attempt, await self._group.driver.ended(attempt))

    # --- one attempt ----------------------------------------------------------------------------

    async def _launch(self) -> Attempt:
        retries = RetryBackoff(self._group.settings.restart)
        while True:
            image = await self._image()
            self._number += 1
            try:
                if refused := root_refused(self.spec, image):
                    raise BadConfig(refused)
                attempt = await to_the_end(
                    self._group.driver.create(self._group.workspace, self.spec, self._number, self._group.ip),
                    name=f"create-{self.spec.name}",
                )
            except EngineError as error:
                self._number -= 1
                reason = (
                    "CreateContainerConfigError" if isinstance(error, BadConfig) else "CreateContainerError"
                )
                self._wait_for(reason, str(error))
                self._note("Failed", f"Error: {error}", warning=True)
                await self._group.clock.sleep(retries.next())
                continue
            self._kept.append(attempt)
            self._note("Created", f"Created container {self.spec.name}")
            return attempt

    async def _start(self, attempt: Attempt) -> Attempt:
        now = self._group.clock.now()
        try:
            attempt = await to_the_end(self._group.driver.start(attempt), name=f"start-{self.spec.name}")
        except CannotRun as error:
            self._note("Failed", f"Error: {error}", warning=True)
            ended = Terminated(
                CANNOT_RUN_CODE, "ContainerCannotRun", now, now, str(error), container_id=attempt.id
            )
            attempt = replace(attempt, state=ended)
        else:
            self._note("Started", f"Started container {self.spec.name}")
            await self._post_start(attempt)
        self._attempt = attempt
        self._kept[-1:] = [attempt]
        while len(self._kept) > KEPT_ATTEMPTS:
            await self._group.driver.discard(self._kept.pop(0))
        return attempt

    async def _post_start(self, attempt: Attempt) -> None:
        """A container whose hook fails is ended; one that ends before its hook does ends it too."""
        if self.spec.post_start is None:
            return
        failures: list[str] = []

        async def hook() -> None:
            if self.spec.post_start is not None:
                failures.append(await carry_out(self.spec.post_start, attempt, self._group))

        await first(hook(), self._until_ended(attempt), name=f"postStart-{self.spec.name}")
        if any(failures):
            self._note("FailedPostStartHook", f"PostStartHook failed: {failures[0]}", warning=True)
            patience = self._group.workspace.spec.termination_grace
            await self._end(attempt, patience, f"Container {self.spec.name} failed its postStart hook")

    async def _until_ended(self, attempt: Attempt) -> None:
        await self._group.driver.ended(attempt)

    async def _follow(self, attempt: Attempt) -> Terminated:
        self._show_attempt(attempt)
        prober = Prober(
            self.spec,
            attempt,
            self._group,
            on_started=self._set_started,
            on_ready=self._set_ready,
            kill=partial(self._fail, attempt),
        )
        async with background(prober.run(), name=f"probes-{self.spec.name}"):
            return await self._group.driver.ended(attempt)

    async def interrupt(self, grace: float) -> None:
        """End the attempt that runs now; `run` decides what comes next."""
        if self._attempt is not None and self.running:
            await self._end(self._attempt, grace, "")

    async def _fail(self, attempt: Attempt, probe: str, grace: float | None) -> None:
        message = f"Container {self.spec.name} failed {probe} probe"
        if self._policy is not RestartPolicy.NEVER:
            message += ", will be restarted"
        patience = self._group.workspace.spec.termination_grace if grace is None else grace
        await self._end(attempt, patience, message)

    async def _end(self, attempt: Attempt, grace: float, message: str) -> None:
        """Ask, wait, force."""
        driver = self._group.driver
        if message:
            self._note("Killing", message)
        if self.spec.pre_stop is not None and grace > 0:
            began = self._group.clock.now()
            failure = await carry_out(self.spec.pre_stop, attempt, self._group, limit=grace)
            if failure:
                self._note("FailedPreStopHook", f"PreStopHook failed: {failure}", warning=True)
            grace = max(min(LEAST_GRACE, grace), grace - (self._group.clock.now() - began))
        if grace > 0:
            await driver.signal(attempt, kill=False)
            waits = driver.ended(attempt), self._group.clock.sleep(grace)
            if await first(*waits, name=f"stop-{self.spec.name}") == 0:
                return
        await driver.signal(attempt, kill=True)

    async def _pause(self) -> None:
        """The time before the next start: none at first, then CrashLoopBackOff."""
        delay = self._backoff.after_exit(self._group.clock.now())
        if delay <= 0:
            return
        name = self.spec.name
        self._wait_for("CrashLoopBackOff", f"back-off {delay:g}s restarting failed container={name}")
        self._note("BackOff", f"Back-off restarting failed container {name}", warning=True)
        await self._group.clock.sleep(delay)

    # --- images ---------------------------------------------------------------------------------

    async def _image(self) -> Image:
        driver, reference, policy = self._group.driver, self.spec.image, self.spec.pull_policy
        retries = RetryBackoff(self._group.settings.pull)
        wrong = reference_error(reference)
        while True:
            if wrong:
                self._misnamed(wrong)
                await self._group.clock.sleep(retries.next())
                continue
            try:
                image = await driver.image(reference)
                if image is not None and policy is not PullPolicy.ALWAYS:
                    self._note("Pulled", f'Container image "{reference}" already present on machine')
                    return image
                if policy is not PullPolicy.NEVER:
                    self._note("Pulling", f'Pulling image "{reference}"')
                    auth = credentials_for(reference, self._group.workspace.spec.registry_auth)
                    image = await driver.pull(reference, auth)
                    self._note("Pulled", f'Successfully pulled image "{reference}"')
                    return image
                reason = "ErrImageNeverPull"
                message = f'Container image "{reference}" is not present with pull policy of Never'
            except EngineError as error:
                reason, message = "ErrImagePull", str(error)
            self._wait_for(reason, message)
            self._note("Failed", f'Failed to pull image "{reference}": {message}', warning=True)
            if reason == "ErrImagePull":
                self._wait_for("ImagePullBackOff", f'Back-off pulling image "{reference}": {message}')
                self._note("BackOff", f'Back-off pulling image "{reference}"')
            await self._group.clock.sleep(retries.next())

    def _misnamed(self, wrong: str) -> None:
        why = f'couldn\'t parse image name "{self.spec.image}": {wrong}'
        message = f'Failed to apply default image tag "{self.spec.image}": {why}'
        self._wait_for("InvalidImageName", message)
        self._note("InspectFailed", message, warning=True)
        self._note("Failed", "Error: InvalidImageName", warning=True)

    # --- what is shown --------------------------------------------------------------------------

    def _show_attempt(self, attempt: Attempt) -> None:
        shown = replace(self.status, restarts=attempt.number, image_id=attempt.image_id)
        if attempt.state is None:
            self.status = shown
        elif isinstance(attempt.state, Running):
            started = self.spec.startup is None
            self._set(
                replace(
                    shown,
                    state=attempt.state,
                    previous=self._last_end(),
                    started=started,
                    ready=started and self.spec.readiness is None and not self._init,
                    container_id=attempt.id,
                )
            )
        else:
            self.status = replace(shown, container_id=attempt.id)
            self._record_end(attempt, attempt.state)

    def _record_end(self, attempt: Attempt, ended: Terminated) -> None:
        self._attempt = replace(attempt, state=ended)
        if self._kept and self._kept[-1].id == attempt.id:
            self._kept[-1] = self._attempt
        if self.status.state == ended:
            return
        self._set(
            replace(
                self.status,
                state=ended,
                previous=self._last_end(),
                restarts=attempt.number,
                started=False,
                ready=self._init and ended.exit_code == 0,
                image_id=attempt.image_id,
                container_id=attempt.id,
            )
        )

    def _last_end(self) -> Terminated | None:
        """How the attempt before the shown one ended."""
        state = self.status.state
        return state if isinstance(state, Terminated) else self.status.previous

    def _wait_for(self, reason: str, message: str = "") -> None:
        self._set(
            replace(
                self.status,
                state=Waiting(reason, message),
                previous=self._last_end(),
                ready=False,
                started=False,
            )
        )

    def _set(self, status: ContainerStatus) -> None:
        if status.started:
            self.begun.set()
        if status != self.status:
            self.status = status
            self._group.changed()

    def _set_ready(self, ready: bool) -> None:
        self._set(replace(self.status, ready=ready))

    def _set_started(self) -> None:
        self._set(replace(self.status, started=True, ready=self.spec.readiness is None))

    def _note(self, reason: str, message: str, *, warning: bool = False) -> None:
        self._group.note(reason, message, self.spec.name, warning=warning)


def root_refused(spec: ContainerSpec, image: Image) -> str:
    """Why a container that must not run as root would; "" where it would not. As the kubelet decides it."""
    if not spec.require_non_root:
        return ""
    name = (spec.user if spec.user is not None else image.user).partition(":")[0]
    if name in ("", "0", "root"):
        return "container has runAsNonRoot and image will run as root"
    if not name.isdigit():
        return f"container has runAsNonRoot and image has non-numeric user ({name})"
    return ""
