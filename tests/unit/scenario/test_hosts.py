"""Targets on other hosts."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from harness.errors import ScenarioError
from harness.scenario.reader import parse_scenario
from harness.scenario.target import AttachSpec, TargetSpec

PORT = {"attach": {"port": 8000}}
PYTHON = {"runtime": "python"}


def test_one_host_may_be_an_address_alone() -> None:
    target = TargetSpec.model_validate({"host": "ssh://deploy@staging-1", **PORT})
    (host,) = target.elsewhere
    assert (host.label, host.role, host.measured, host.attach) == ("staging-1", "app", True, None)
    assert target.ways_in == ("attach",)


def test_several_hosts_have_roles_and_what_they_are_watched_by() -> None:
    hosts = [
        "ssh://web-1",
        {"host": "ssh://web-2:2222", "role": "web", "version": "2.1", "name": "new"},
        {"host": "ssh://[fe80::1]", "measured": False, "attach": {"match": "postgres"}},
    ]
    target = TargetSpec.model_validate({"hosts": hosts, **PORT})
    assert [host.label for host in target.elsewhere] == ["web-1", "new", "fe80--1"]
    assert TargetSpec.model_validate({"hosts": [hosts[2]]}).ways_in == ("hosts",)


def test_agents_are_in_what_is_launched_or_was_started_with_one() -> None:
    agent = {"host": "ssh://a", "agent": "/opt/harness-agent"}
    assert not TargetSpec.model_validate({"host": "ssh://a", "runtime": "python", **PORT}).takes_agents
    assert TargetSpec.model_validate({"hosts": ["ssh://b", agent], "runtime": "python", **PORT}).takes_agents
    target = {
        "host": "ssh://a",
        "runtime": "python",
        "python": {"jobs": ["shop:work"], "gc_freeze": True},
        "launch": "x",
    }
    assert TargetSpec.model_validate(target).takes_agents


def test_containers_of_other_hosts_and_of_this_one() -> None:
    hosts = [
        {"host": "ssh://web-1", "role": "web", "container": "shop"},
        {"host": "local", "role": "web", "attach": {"port": 8000}},
        {"host": "ssh://web-2", "containers": ["a", {"name": "b", "measured": False}]},
    ]
    target = TargetSpec.model_validate({"hosts": hosts, "containers": ["db"]})
    assert [[spec.name for spec in host.in_containers] for host in target.elsewhere] == [["shop"], ["a", "b"]]
    assert [host.label for host in target.here] == ["local"]
    assert [spec.name for spec in target.in_containers] == ["db"]
    one = TargetSpec.model_validate({"host": "ssh://web-1", "container": "shop"})
    assert [[spec.name for spec in host.in_containers] for host in one.elsewhere] == [["shop"]]
    assert one.in_containers == ()


def test_agents_in_containers_of_another_host_have_a_directory_each() -> None:
    one = {"host": "ssh://a", "agent": "/opt/a", "container": "shop"}
    two = {"host": "ssh://b", "containers": [{"name": "x", "agent": "/opt/x"}, "y", {"name": "z", "agent": "/opt/z"}]}
    target = TargetSpec.model_validate({"hosts": [one, two, {"host": "ssh://c", "agent": "/opt/c", **PORT}], **PYTHON})
    found = [[(path, each and each.name) for path, each in host.agents] for host in target.elsewhere]
    assert found == [[("/opt/a", "shop")], [("/opt/x", "x"), ("/opt/z", "z")], [("/opt/c", None)]]
    inside = TargetSpec.model_validate({"host": "ssh://a", "container": {"name": "x", "agent": "/opt/x"}, **PYTHON})
    assert inside.takes_agents
    assert [path for host in inside.elsewhere for path, _ in host.agents] == ["/opt/x"]


@pytest.mark.parametrize(
    ("address", "label"),
    [
        ("kubectl://shop/web-1", "web-1"),
        ("kubectl://shop/web-1/side.car", "web-1"),
        ("kubectl://arn:aws:eks:eu:1:cluster/x@shop/web-1", "web-1"),
    ],
)
def test_a_pod_is_watched_as_a_whole_unless_more_is_said(address: str, label: str) -> None:
    (host,) = TargetSpec.model_validate({"host": address}).elsewhere
    assert host.label == label
    assert host.watched(None) == AttachSpec(pid=1)
    assert host.watched(AttachSpec(port=80)) == AttachSpec(port=80)


@pytest.mark.parametrize(
    ("section", "complaint"),
    [
        ({"host": "ssh://-oProxyCommand=id", **PORT}, "should match pattern"),
        ({"host": "ssh://u:secret@a", **PORT}, "should match pattern"),
        ({"host": "http://a", **PORT}, "should match pattern"),
        ({"host": "ssh://a", "hosts": ["ssh://b"], **PORT}, "host and hosts: keep one"),
        ({"hosts": ["ssh://a", "ssh://a"], **PORT}, "named twice"),
        ({"hosts": ["ssh://a", "ssh://deploy@a:2222"], **PORT}, "two hosts would be called 'a': give one of them a name"),
        ({"hosts": ["kubectl://shop/web/app", "kubectl://shop/web/log"]}, "two hosts would be called 'web'"),
        ({"hosts": ["ssh://a", {"host": "ssh://b", "name": "a"}], **PORT}, "two hosts would be called 'a'"),
        ({"host": "ssh://a"}, "nothing says what to watch on ssh://a"),
        ({"hosts": ["ssh://a"], "launch": "x"}, "several, start the application there"),
        ({"hosts": ["ssh://a"], "php": {"serve": {"docroot": "."}}, "runtime": "php", **PORT}, "and php.serve: keep one"),
        ({"hosts": [{"host": "ssh://a", "container": "web", **PORT}]}, "containers and attach: keep one"),
        ({"hosts": [{"host": "ssh://a", "container": "web", "containers": ["b"]}]}, "container and containers: keep one"),
        ({"hosts": [{"host": "ssh://a", "containers": ["b", "b"]}]}, "the container 'b' of ssh://a is named twice"),
        ({"host": "ssh://a", "container": {"name": "web", "agent": "x"}, **PYTHON}, "of that host: 'x' is no whole path"),
        ({"host": "ssh://a", "container": {"name": "web", "agent": "/x"}}, "agent needs target.runtime"),
        ({"hosts": [{"host": "ssh://a", "container": {"name": "web", "agent": "/x"}}]}, "agent needs target.runtime"),
        ({"host": {"host": "ssh://a", "agent": "/x"}, "container": {"name": "web", "agent": "/y"}, **PYTHON},
         "ssh://a: agent is said beside the host and in its container: keep one"),
        ({"hosts": [{"host": "ssh://a", "containers": [{"name": "b", "agent": "/x"}, {"name": "c", "agent": "/x"}]}], **PYTHON},
         "two containers of ssh://a have the agent in '/x'"),
        ({"hosts": [{"host": "ssh://a", "containers": [{"name": "b", "agent": "/x/y"}, {"name": "c", "agent": "/x//y/"}]}],
          **PYTHON}, "two containers of ssh://a have the agent in '/x/y'"),
        ({"hosts": [{"host": "ssh://a", "agent": "/x/"}, {"host": "ssh://a/", "name": "b", "agent": "/x"}], **PORT, **PYTHON},
         "ssh://a is named twice with the agent in '/x'"),
        ({"host": {"host": "ssh://a", "agent": "/x"}, "containers": ["b", "c"], **PYTHON}, "beside the host is for its one"),
        ({"host": "ssh://a", "containers": ["web"], **PORT}, "attach and containers: keep one"),
        ({"hosts": [{"host": "ssh://a", "agent": "/x", "containers": ["b", "c"]}]}, "agent beside the host is for its one"),
        ({"hosts": [{"host": "local", "container": "web"}]}, "belong into target.containers"),
        ({"hosts": ["local", {"host": "local", "name": "x"}], **PORT}, "this machine \\(local\\) is named twice"),
        ({"host": "local", **PORT}, "host: local is for attach beside other hosts"),
        ({"host": "kubectl://shop/web-1", "launch": "x"}, "nothing is started in a pod"),
        ({"hosts": [{"host": "kubectl://shop/web-1", "container": "web"}]}, "write kubectl://namespace/pod/container"),
        ({"host": "kubectl://-n/web-1"}, "should match pattern"),
        ({"host": "kubectl://--kubeconfig=x@shop/web-1"}, "should match pattern"),
        ({"host": "ssh://a", "runtime": "python", "python": {"inject": True}, **PORT}, "inject is for programs that are started"),
        ({"host": "ssh://a", "runtime": "python", "python": {"overlay": True}, "launch": "x"}, "overlay is for this machine"),
        ({"host": {"host": "ssh://a", "agent": "/opt/agent"}, **PORT}, "agent needs target.runtime"),
        ({"host": {"host": "ssh://a", "agent": "/opt/agent"}, "runtime": "python", "launch": "x"}, "gets one without it"),
        ({"host": {"host": "ssh://a", "agent": "agent"}, "runtime": "python", **PORT}, "should match pattern"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_in_words(section: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint) as caught:
        TargetSpec.model_validate(section)
    assert "launch" not in section or "container" not in str(caught.value)


def test_a_port_of_other_hosts_is_no_address_for_requests() -> None:
    """It would be this machine's port, where somebody else may listen."""
    target = TargetSpec.model_validate({"hosts": ["ssh://a", "ssh://b"], **PORT})
    assert target.base_url is None
    assert TargetSpec.model_validate(PORT).base_url == "http://127.0.0.1:8000"
    assert TargetSpec.model_validate({"host": "ssh://a", "url": "http://a:8000/", **PORT}).base_url == "http://a:8000"
    text = "name: shop\ntarget: {host: ssh://a, attach: {port: 8000}}\nrequests: [{name: home, get: /}]\n"
    with pytest.raises(ScenarioError, match=r":3: where is /\? The target is on other hosts: add target.url"):
        parse_scenario(text)
    assert parse_scenario(text.replace("requests: [{name: home, get: /}]", "load: {observe: 1m}")).target is not None


@pytest.mark.parametrize(
    ("host", "complaint"),
    [
        (
            "{host: ssh://a, role: 'my role', attach: {port: 1}}",
            "target.hosts.role: 'my role' is not a role such as web",
        ),
        (
            "{host: ssh://a, agent: here, attach: {port: 1}}",
            "target.hosts.agent: 'here' is not a whole path such as /opt",
        ),
        ("{host: ssh://a, name: '?', attach: {port: 1}}", "target.hosts.name: '?' is not a name for a host"),
        ("{host: ssh://a, version: '?', attach: {port: 1}}", "target.hosts.version: '?' is not a version"),
        ("{host: ssh://a, container: '-v'}", "'-v' is not a container's name or id, as docker ps shows it"),
        ("{hots: ssh://a}", "unknown key 'hots' (did you mean 'host'?)"),
    ],
)
def test_a_value_that_does_not_fit_says_what_would(host: str, complaint: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        parse_scenario(f"name: shop\ntarget: {{runtime: python, hosts: [{host}]}}\nload: {{observe: 1m}}\n")
    assert any(complaint in problem for problem in caught.value.problems), caught.value.problems
    assert not any("HOST:PORT" in problem or "None" in problem for problem in caught.value.problems)
