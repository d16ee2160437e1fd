"""A folder and a job in Jenkins, as the tests know them."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import timedelta

from devops_reconciler.resources.jenkins_folder import JenkinsFolder
from devops_reconciler.resources.jenkins_job import JenkinsJob
from devops_reconciler.services.jenkins_xml import Parameter, pipeline_xml, read_pipeline

from .hand import Hand

FOLDER = JenkinsFolder(folder="shop")
JOB = JenkinsJob(
    folder="shop",
    name="shop",
    git_url="https://git.example.com/shop.git",
    credentials_id="git",
    script_path="Jenkinsfile",
    parameters={"KEY": "value"},
)
PATH = ("shop", "shop")


async def with_job() -> Hand:
    """A hand whose only step is the build, in a Jenkins with folder and job."""
    hand = Hand()
    await Hand(hand.out).bring(FOLDER)
    await Hand(hand.out).bring(JOB)
    hand.out.clock.advance(timedelta(minutes=1))
    return hand


def erase(hand: Hand, *keep: Parameter) -> None:
    """A Jenkinsfile with `parameters {}` has run."""
    job = read_pipeline(hand.out.jenkins.configs[PATH])
    hand.out.jenkins.configs[PATH] = pipeline_xml(replace(job, parameters=keep))


def offer(hand: Hand, name: str, *choices: str) -> bytes:
    """A Jenkinsfile with a `choice` of that name has run. The config.xml as it is then."""
    config = with_choices(hand.out.jenkins.configs[PATH], name, *choices)
    hand.out.jenkins.configs[PATH] = config
    return config


def with_choices(config: bytes, name: str, *choices: str) -> bytes:
    """`config` with that parameter, which is a string there, defined as a choice."""
    root = ET.fromstring(config)
    for each in root.findall(f".//parameterDefinitions/*[name='{name}']"):
        each.clear()
        each.tag = "hudson.model.ChoiceParameterDefinition"
        ET.SubElement(each, "name").text = name
        offered = ET.SubElement(each, "choices", {"class": "java.util.Arrays$ArrayList"})
        strings = ET.SubElement(offered, "a", {"class": "string-array"})
        for choice in choices:
            ET.SubElement(strings, "string").text = choice
    return ET.tostring(root)
