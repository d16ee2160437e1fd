"""Who asked for what an object says."""

from __future__ import annotations

from typing import Any

from devops_reconciler.host.requesters import Requesters

OURS = "devops-reconciler"


def managed(
    manager: str, *, time: str = "2026-01-01T00:00:00Z", field: str = "f:spec", sub: str = ""
) -> dict[str, Any]:
    entry: dict[str, Any] = {"manager": manager, "operation": "Update", "time": time, "fieldsV1": {field: {}}}
    return {**entry, "subresource": sub} if sub else entry


def make(
    kind: str, uid: str, *, by: str | None = None, deleted_by: str | None = None, going: bool = False, **more: Any
) -> dict[str, Any]:
    annotations = {"freeleaps.com/requested-by": by, "freeleaps.com/deletion-requested-by": deleted_by}
    metadata: dict[str, Any] = {"name": "shop", "namespace": "team", "uid": uid}
    metadata["annotations"] = {name: value for name, value in annotations.items() if value is not None}
    if going:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return {"kind": kind, "metadata": {**metadata, **more}, "spec": {}}


def who(*objects: dict[str, Any]) -> str:
    """Who asked for the last of them, when the others were seen before."""
    requesters = Requesters()
    for obj in objects[:-1]:
        requesters.note(obj)
    return requesters.cause(objects[-1]).asked_by


def test_the_message_says_it() -> None:
    assert who(make("DevOpsProject", "p", by="alice", managedFields=[managed("kubectl")])) == "alice"


def test_a_record_says_it_in_its_spec_also_without_the_annotation() -> None:
    assert who({**make("DeploymentRecord", "r"), "spec": {"requestedBy": "alice"}}) == "alice"


def test_else_the_manager_that_last_wrote_the_spec_says_it() -> None:
    fields = [
        managed("old-tool"),
        managed("kubectl-edit", time="2026-02-01T00:00:00Z"),
        managed("labeller", time="2026-03-01T00:00:00Z", field="f:metadata"),
        managed("status-writer", time="2026-03-01T00:00:00Z", sub="status"),
        managed(OURS, time="2026-04-01T00:00:00Z"),
    ]
    assert who(make("DevOpsProject", "p", managedFields=fields)) == "kubectl-edit"


def test_else_it_is_unknown() -> None:
    assert who(make("DevOpsProject", "p")) == "unknown"


def test_a_child_was_asked_for_by_whoever_asked_for_its_project() -> None:
    child = make("JenkinsSettings", "j", ownerReferences=[{"uid": "p"}], managedFields=[managed(OURS)])
    assert who(make("DevOpsProject", "p", by="alice"), child) == "alice"
    assert who(child) == OURS


def test_a_child_that_somebody_else_changed_names_that_one() -> None:
    fields = [managed(OURS), managed("kubectl-edit")]
    child = make("JenkinsSettings", "j", ownerReferences=[{"uid": "p"}], managedFields=fields)
    assert who(make("DevOpsProject", "p", by="alice"), child) == "kubectl-edit"


def test_a_record_is_not_asked_for_by_whoever_asked_for_the_project() -> None:
    record = make("DeploymentRecord", "r", ownerReferences=[{"uid": "p"}], managedFields=[managed(OURS)])
    assert who(make("DevOpsProject", "p", by="alice"), record) == OURS


def test_a_deletion_was_asked_for_by_whom_the_message_names_and_never_by_whom_asked_for_the_thing() -> None:
    assert who(make("DeploymentRecord", "r", by="alice", deleted_by="bob", going=True)) == "bob"
    assert who(make("DeploymentRecord", "r", by="alice", going=True, managedFields=[managed("kubectl")])) == "unknown"
    child = make("JenkinsSettings", "j", ownerReferences=[{"uid": "p"}], going=True)
    assert who(make("DevOpsProject", "p", by="alice"), child) == "unknown"


def test_a_project_that_is_gone_is_forgotten() -> None:
    requesters = Requesters()
    project = make("DevOpsProject", "p", by="alice")
    requesters.note(project)
    requesters.note(project, deleted=True)
    child = make("JenkinsSettings", "j", ownerReferences=[{"uid": "p"}])
    assert requesters.cause(child).asked_by == "unknown"


def test_the_object_itself_is_in_the_cause() -> None:
    about = Requesters().cause(make("DevOpsProject", "p")).object
    assert about is not None
    assert (about.kind, about.namespace, about.name, about.uid) == ("DevOpsProject", "team", "shop", "p")
