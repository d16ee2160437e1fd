"""The reference of all metrics as Markdown."""

from __future__ import annotations

from .metrics import BREAKER_STATES, MOST_PROJECTS, Metrics

_HEAD = """# Metrics

Written by `devops-reconciler config metrics`; do not edit. They are at `/metrics` on `RECONCILER_HTTP_PORT`, as
OpenMetrics text. Metrics of the process itself (`process_…`, `python_info`) come with them.

| metric | type | labels | meaning |
|---|---|---|---|
"""
_TAIL = f"""
Labels have few values: kinds of resources, outcomes, services (`argocd`, `dockerhub`, `git`, `godaddy`, `jenkins`,
`registry`; requests also to `kubernetes`), never the name of an object. Only the metrics that begin with
`devops_reconciler_project_` have the name of a project and its namespace: each replica counts the first
{MOST_PROJECTS} that it meets under their names and all others together as `project="other"`, without a namespace. A
project that is deleted takes its figures along.

- `devops_reconciler_breaker_state` is {", ".join(f"{at} for {name}" for at, name in enumerate(BREAKER_STATES))},
  of Git that of the worst host. One that nobody asks any more counts as CLOSED after a while.
- `devops_reconciler_vendor_calls_total` has as `code` the status of the answer, or the name of the failure; of Git,
  which has no status, `ok`, `timeout` or the reason. Where the login of a project's own Secret is refused, it is
  `ProjectCredentialsInvalid` of Git, and 401 of the registry's operation `check login`, never `CredentialsInvalid` or
  401 of `get token`, which are of the operator's accounts.
- `devops_reconciler_internal_errors_total` has as `where` `step` (a step of an object met it, whose condition says
  `InternalError`), `loop` (it stopped a whole pass), `message_listener` or the name of the task that died of it.
- `devops_reconciler_reconciles_total` has as `outcome` `done`, `progress`, `retry` (a service is ill), `failed`
  (somebody must act), `error` (a fault of the operator, in a step or of the whole pass), `conflict` (the object had
  changed), `fenced` (another replica acts) or `gone`.
- `devops_reconciler_queue_age_seconds` has `queue="messages"` (since the oldest message was sent that is taken and not
  acknowledged yet), `queue="objects"` (since the oldest object was woken whose pass has not begun) and
  `queue="deployments"` (since the oldest deployment was made for which nothing has been done yet; one that is paused
  does not count, nor one whose project is suspended or only plans, nor what is in the queue behind it). 0 for an empty
  one.
- `devops_reconciler_drift_found_total` counts a difference once, however often it is looked at, and
  `devops_reconciler_drift_repaired_total` counts it when a later look has found it set right by the operator. `kind` is
  the kind of the resource that the thing belongs to.
- `devops_reconciler_cleanup_results_total` has `result="cleaned"` (proven gone), `result="left"` (policy, or no longer
  ours) and `result="cleanup_failed"` (counted when it begins to fail; it is tried again). `kind` is that of the thing.
- `devops_reconciler_project_…` are the four key figures of delivery (DORA), of production: how often is deployed
  and the share that fails by `…deployments_total`, the lead time by `…lead_seconds`, the time to restore by
  `…restore_seconds`. The lead time begins with the message (its `timestamp`) or the creation of the record, not with
  the commit. The time to restore begins with the end of the first failed deployment since a good one, among those that
  `historyLimit` keeps.
- The time in which an object waits for a service that is away is in no queue: its condition `VendorDegraded` says it.
"""


def metrics_markdown() -> str:
    """One row for each metric of ours."""
    rows = [
        f"| `{name}` | {kind} | {', '.join(f'`{label}`' for label in labels) or '–'} | {text} |\n"
        for name, kind, text, labels in sorted(Metrics().describe())
    ]
    return _HEAD + "".join(rows) + _TAIL
