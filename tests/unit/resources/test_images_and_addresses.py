"""Docker Hub's repository, images by tag and digest, the Git revision, and the address as it is seen from outside."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pydantic import SecretStr

from devops_reconciler.api.base import Adoption
from devops_reconciler.resources.address import Address, PublishedName
from devops_reconciler.resources.git_revision import GitRevision
from devops_reconciler.resources.hub_repository import HubRepository
from devops_reconciler.resources.image import IMAGE_TIMEOUT, Image, PinnedImage
from devops_reconciler.resources.marks import described, mark_in
from devops_reconciler.resources.polling import pause
from devops_reconciler.services.godaddy_types import Record
from tests.unit.fakes.others import digest_of
from tests.unit.world import GIT_URL, ME, OTHER

from .hand import Hand, changed, policy

REPOSITORY = HubRepository(namespace="acme", repository="shop", private=True)
IMAGE = Image(namespace="acme", repository="shop", tag="abc-1", form="registry.test/acme/shop")
REVISION = GitRevision(url=GIT_URL, revision="main", username="git", password=SecretStr("secret"))
NAME = PublishedName(zone="example.com", host="shop.example.com", type="A", data="203.0.113.7")
ADDRESS = Address(host="shop.example.com", target="203.0.113.7", path="/ready", tls=False)


# Docker Hub


async def test_a_repository_is_made_private_with_the_mark_in_its_short_description() -> None:
    hand = Hand()
    assert (await hand.bring(REPOSITORY)).ready
    made = hand.out.hub.held["acme/shop"].repository
    assert made.private
    assert mark_in(made.description) == ME
    assert len(made.description) <= 100


async def test_a_repository_that_became_public_is_made_private_again_and_nothing_else_changes() -> None:
    hand = Hand()
    await hand.bring(REPOSITORY)
    hand.out.hub.add("acme", "shop", f"our shop, see the wiki ({ME})", private=False)
    hand.out.clock.advance(timedelta(minutes=1))
    assert (await hand.bring(REPOSITORY)).ready
    made = hand.out.hub.held["acme/shop"].repository
    assert (made.private, made.description) == (True, f"our shop, see the wiki ({ME})")


@pytest.mark.parametrize("description", ["", "The team's", f"Images ({OTHER})"])
async def test_a_foreign_repository_is_a_conflict_and_stays(description: str) -> None:
    hand = Hand()
    hand.out.hub.add("acme", "shop", description)
    assert hand.reason(await hand.bring(REPOSITORY)) == "OwnershipConflict"
    await hand.remove()
    assert hand.out.hub.held["acme/shop"].repository.description == description


async def test_an_unmarked_repository_is_taken_over_where_that_is_asked_for() -> None:
    hand = Hand()
    hand.out.hub.add("acme", "shop", "theirs", private=False)
    assert (await hand.bring(REPOSITORY, policy(Adoption.IF_UNOWNED))).ready
    made = hand.out.hub.held["acme/shop"].repository
    assert (mark_in(made.description), made.private) == (ME, True)


async def test_a_repository_that_was_taken_over_is_never_deleted_whoever_has_it_by_then() -> None:
    first = Hand()
    first.out.hub.add("acme", "shop", "theirs")
    assert (await first.bring(REPOSITORY, policy(Adoption.IF_UNOWNED))).ready
    next_one = Hand(first.out, me=OTHER)
    assert (await next_one.bring(REPOSITORY, policy(Adoption.ALWAYS))).ready
    assert mark_in(next_one.out.hub.held["acme/shop"].repository.description) == OTHER
    outcome = await next_one.remove()
    assert next_one.out.hub.held["acme/shop"].repository.description.startswith("Images, taken over")
    assert "before it was taken over" in outcome.results[0].message + next_one.entry.note


async def test_a_repository_of_ours_that_another_resource_takes_over_goes_with_that_one() -> None:
    first = Hand()
    await first.bring(REPOSITORY)
    next_one = Hand(first.out, me=OTHER)
    assert (await next_one.bring(REPOSITORY, policy(Adoption.ALWAYS))).ready
    await next_one.remove()
    assert next_one.out.hub.held == {}


async def test_a_repository_that_is_ours_goes_with_its_object() -> None:
    hand = Hand()
    await hand.bring(REPOSITORY)
    await hand.remove()
    assert hand.out.hub.held == {}


def test_a_description_of_any_length_keeps_the_whole_mark() -> None:
    text = described("x" * 500, ME)
    assert len(text) <= 100
    assert mark_in(text) == ME


# Images


async def test_an_image_is_waited_for_and_known_by_its_digest() -> None:
    hand = Hand()
    hand.out.hub.add("acme", "shop")
    outcome = await hand.once(IMAGE)
    assert hand.reason(outcome) == "DependencyNotReady"
    assert outcome.results[0].after is not None
    digest = hand.out.hub.push("acme/shop", "abc-1")
    assert (await hand.bring(IMAGE)).ready
    assert hand.entry.facts == {"digest": digest, "image": f"registry.test/acme/shop@{digest}"}


async def test_an_image_is_removed_by_its_tag_and_other_tags_of_its_digest_stay() -> None:
    hand = Hand()
    digest = hand.out.hub.push("acme/shop", "abc-1")
    hand.out.hub.push("acme/shop", "latest", digest)
    await hand.bring(IMAGE)
    await hand.remove()
    assert hand.out.hub.held["acme/shop"].tags == {"latest": digest}


async def test_an_image_whose_repository_was_deleted_by_hand_is_gone() -> None:
    hand = Hand()
    hand.out.hub.push("acme/shop", "abc-1")
    await hand.bring(IMAGE)
    hand.out.hub.held.clear()
    assert (await hand.remove()).ready


async def test_an_image_whose_build_has_ended_is_waited_for_before_it_is_said_to_be_gone() -> None:
    hand = Hand()
    hand.out.hub.add("acme", "shop")
    await hand.once(IMAGE)
    for _ in range(3):
        outcome = await hand.remove_once()
        assert not outcome.ready
        hand.out.clock.advance(outcome.results[0].after or timedelta(0))
    hand.out.hub.push("acme/shop", "abc-1")
    assert (await hand.remove()).ready
    assert hand.out.hub.held["acme/shop"].tags == {}


async def test_an_image_that_its_build_did_not_push_is_waited_for_as_long_as_by_its_deployment() -> None:
    hand = Hand()
    hand.out.hub.add("acme", "shop")
    await hand.once(IMAGE)
    hand.out.clock.advance(timedelta(seconds=30))
    before = hand.out.clock.now()
    assert (await hand.remove()).ready
    assert hand.out.clock.now() - before == IMAGE_TIMEOUT - timedelta(seconds=30)


async def test_an_image_whose_build_was_stopped_is_gone_after_moments() -> None:
    hand = Hand()
    hand.out.hub.add("acme", "shop")
    hand.ledger.want("only", IMAGE)  # announced, as while its build runs
    before = hand.out.clock.now()
    assert (await hand.remove()).ready
    assert hand.out.clock.now() - before <= timedelta(seconds=5)


async def test_a_pinned_image_is_looked_for_by_digest_and_never_removed() -> None:
    hand = Hand()
    digest = hand.out.hub.push("acme/shop", "abc-1")
    pinned = PinnedImage(form="acme/shop", image_digest=digest)
    assert (await hand.bring(pinned)).ready
    await hand.remove()
    assert hand.out.hub.held["acme/shop"].tags == {"abc-1": digest}
    gone = changed(pinned, image_digest=digest_of("another"))
    assert not (await Hand(hand.out).once(gone)).ready


# Git


async def test_a_revision_becomes_a_commit_once_and_the_branch_may_move_on() -> None:
    hand = Hand()
    hand.out.git.commit(GIT_URL, "main", "a" * 40)
    assert (await hand.bring(REVISION)).ready
    hand.out.git.commit(GIT_URL, "main", "b" * 40)
    assert (await hand.once(REVISION)).facts["only"]["commit"] == "a" * 40
    login = hand.out.git.logins[0]
    assert login is not None
    assert (login.username, login.password, login.ours) == ("git", "secret", False)


async def test_an_unknown_revision_is_a_failure_that_says_what_to_do() -> None:
    hand = Hand()
    hand.out.git.commit(GIT_URL, "main", "a" * 40)
    outcome = await hand.bring(changed(REVISION, revision="gone"))
    assert hand.reason(outcome) == "RevisionNotFound"
    assert "push it" in hand.message(outcome)


async def test_where_a_commit_has_its_manifests_is_found_with_it_and_no_part_of_the_value() -> None:
    hand = Hand()
    hand.out.git.commit(GIT_URL, "main", "a" * 40, b"argo: {path: k8s}")
    asking = changed(REVISION, finds_path=True)
    assert (asking.key, asking.value(), asking.digest()) == (REVISION.key, REVISION.value(), REVISION.digest())
    assert (await hand.once(asking)).facts["only"] == {"commit": "a" * 40, "path": "k8s"}
    assert hand.out.line.count("git.read_file") == 1
    assert hand.out.git.logins[0] is not None


# The address


async def test_a_name_is_published_when_every_nameserver_gives_it() -> None:
    hand = Hand()
    outcome = await hand.once(NAME)
    assert outcome.results[0].state.value == "Running"
    assert "ns1" in hand.message(outcome)
    hand.out.godaddy.zones["example.com"].append(Record("A", "shop", "203.0.113.7", 600))
    hand.out.godaddy.zones["example.com"].append(Record("A", "shop", "192.0.2.1", 600))
    assert (await hand.bring(NAME)).ready


@pytest.mark.parametrize(
    ("status", "good"), [(200, True), (301, True), (404, True), (500, False), (503, False), (0, False)]
)
async def test_an_address_is_reachable_below_500(status: int, good: bool) -> None:
    hand = Hand()
    hand.out.prober.status = status
    outcome = await hand.once(ADDRESS)
    assert outcome.ready is good
    assert hand.out.prober.asked == [("203.0.113.7", 80, "shop.example.com", "/ready", False)]
    if good:
        assert outcome.facts["only"]["url"] == "http://shop.example.com/"


async def test_an_address_with_tls_is_asked_with_tls_and_one_without_probe_is_not_asked() -> None:
    hand = Hand()
    outcome = await hand.bring(changed(ADDRESS, tls=True))
    assert outcome.facts["only"]["url"] == "https://shop.example.com/"
    assert hand.out.prober.asked == [("203.0.113.7", 443, "shop.example.com", "/ready", True)]
    unasked = Hand()
    unasked.out.prober.status = 0
    assert (await unasked.bring(changed(ADDRESS, path=None))).ready
    assert unasked.out.prober.asked == []


def test_looks_become_rarer_the_longer_it_takes() -> None:
    most = timedelta(seconds=5)
    waits = [pause(timedelta(seconds=spent), most) for spent in (0, 1, 10, 100)]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (timedelta(milliseconds=100), most)
    assert pause(timedelta(seconds=-5), most) == timedelta(milliseconds=100)
