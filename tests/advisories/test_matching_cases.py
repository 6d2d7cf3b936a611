"""What is affected and what is not, by distribution and ecosystem: real advisories, and made ones for what those lack."""

from __future__ import annotations

import pytest
from support.advisory_lookup import MemoryLookup, affects, before, osv, real_lookup

from scanner.advisories.matcher import INCOMPARABLE, NO_DATA, UNKNOWN_DISTRIBUTION, match
from scanner.model import Distribution, Enrichment, Package, Severity
from scanner.model.vulnerability import vulnerability_facts

DEBIAN = Distribution(id="debian", version="11")
BUSTER = Distribution(id="debian", version="10")
ALPINE = Distribution(id="alpine", version="3.11.6")
WOLFI = Distribution(id="wolfi")
ALMA = Distribution(id="almalinux", version="9.4")
ALMA8 = Distribution(id="almalinux", version="8.10")
RHEL = Distribution(id="rhel", version="9.4")
JAMMY = Distribution(id="ubuntu", version="22.04")
BIONIC = Distribution(id="ubuntu", version="18.04")


def installed(purl_type, name, version, source="", source_version="", **more):
    """Return a package of the distribution."""
    return Package(
        purl_type=purl_type, name=name, version=version, path="db", from_distribution=True,
        source_name=source or name, source_version=source_version or (version if purl_type != "rpm" else ""),
        **more,
    )  # fmt: skip


def deb(name, version, source="", source_version=""):
    return installed("deb", name, version, source, source_version, namespace="debian")


def rpm(name, version, source="", source_version="", **qualifiers):
    return installed("rpm", name, version, source, source_version, qualifiers=qualifiers)


def apk(name, version, origin=""):
    return installed("apk", name, version, origin)


def lib(purl_type, name, version, **more):
    return Package(purl_type=purl_type, name=name, version=version, path="app/lock", **more)


def found(package, distribution, lookup):
    """Return main id -> fixed version."""
    matched = match([package], distribution, lookup)
    return {(facts := vulnerability_facts(f)).id: facts.fixed_version for f in matched.findings}


REAL = {
    # a source package's advisory is about all of its binary packages
    "debian_source": (DEBIAN, deb("libssl1.1", "1.1.1n-0+deb11u3", "openssl"), {"CVE-2023-0286": "1.1.1n-0+deb11u4"}, {"CVE-2022-2068"}),
    "debian_backported_fix": (DEBIAN, deb("libssl1.1", "1.1.1n-0+deb11u4", "openssl"), {}, {"CVE-2023-0286", "CVE-2022-2068"}),
    "debian_epoch": (DEBIAN, deb("zlib1g", "1:1.2.11.dfsg-2+deb11u1", "zlib"), {"CVE-2022-37434": "1:1.2.11.dfsg-2+deb11u2"}, {"CVE-2018-25032"}),
    "debian_epoch_counts": (DEBIAN, deb("zlib1g", "1:1.3-1", "zlib"), {}, {"CVE-2022-37434"}),
    "debian_other_release": (BUSTER, deb("openssl", "1.1.1n-0+deb10u3"), {"CVE-2022-4304": "1.1.1n-0+deb10u4"}, {"CVE-2022-2068"}),
    "debian_binary_rebuild": (DEBIAN, deb("libssl1.1", "1.1.1n-0+deb11u4+b1", "openssl", "1.1.1n-0+deb11u4"), {}, {"CVE-2023-0286"}),
    "debian_one_erratum_many_cves": (DEBIAN, deb("curl", "7.74.0-1.3+deb11u3"), {"CVE-2022-32221": "7.74.0-1.3+deb11u5", "CVE-2022-43552": "7.74.0-1.3+deb11u5"}, set()),
    "alpine_origin": (ALPINE, apk("libssl1.1", "1.1.1d-r2", "openssl"), {"CVE-2019-1551": "1.1.1d-r3"}, set()),
    "alpine_fixed": (ALPINE, apk("libssl1.1", "1.1.1g-r0", "openssl"), {}, {"CVE-2019-1551", "CVE-2020-1967"}),
    "almalinux_epoch": (ALMA, rpm("openssl-libs", "3.0.7-1.el9", "openssl", "3.0.7-1.el9", epoch="1"), {"CVE-2025-9230": "1:3.5.1-4.el9_7"}, set()),
    "almalinux_other_package_of_source": (ALMA, rpm("openssl-nothing", "3.0.7-1.el9", "openssl", "3.0.7-1.el9", epoch="1"), {}, {"CVE-2025-9230"}),
    "almalinux_module_stream": (ALMA, rpm("nodejs", "18.20.4-1.module_el9.5.0+100+aa", epoch="1", rpmmod="nodejs:18:9050:aa"), {"CVE-2025-23085": "1:18.20.6-1.module_el9.5.0+136+92f38f3c"}, {"CVE-2025-31498"}),
    "almalinux_fixed_in_its_minor_release": (ALMA, rpm("expat", "2.5.0-3.el9_5.3"), {"CVE-2025-59375": "2.5.0-5.el9_7.1"}, {"CVE-2024-8176"}),
    "almalinux_fixed_in_no_minor_release": (ALMA, rpm("expat", "2.5.0-3.el9_5.2"), {"CVE-2024-8176": "2.5.0-5.el9_6"}, set()),
    "pypi_name": (None, lib("pypi", "PyYAML", "5.3"), {"CVE-2020-1747": "5.3.1", "CVE-2020-14343": "5.4"}, set()),
    "pypi_introduced_later": (None, lib("pypi", "pyyaml", "5.0"), {"CVE-2017-18342": "5.1"}, {"CVE-2020-1747"}),
    "pypi_two_branches": (None, lib("pypi", "urllib3", "2.0.0"), {"CVE-2023-43804": "2.0.6"}, set()),
    "pypi_first_branch": (None, lib("pypi", "urllib3", "1.26.10"), {"CVE-2023-43804": "1.26.17"}, set()),
    "pypi_fixed_branch": (None, lib("pypi", "urllib3", "1.26.18"), {}, {"CVE-2023-43804", "CVE-2023-45803"}),
    "go_standard_library": (None, lib("golang", "stdlib", "1.26.3"), {"CVE-2026-27145": "1.26.4"}, set()),
    "go_candidate_before_fix": (None, lib("golang", "stdlib", "1.27rc1"), {"CVE-2026-42505": "1.27.0-rc.2"}, {"CVE-2026-27145"}),
    "go_toolchain_is_not_library": (None, lib("golang", "stdlib", "1.26.5"), {}, {"CVE-2026-56865"}),
    "go_toolchain": (None, lib("golang", "cmd", "1.26.5"), {"CVE-2026-56865": "1.26.6"}, set()),
    "go_module": (None, lib("golang", "golang.org/x/net", "v0.54.0"), {"CVE-2026-42506": "0.55.0"}, set()),
    "npm_last_affected": (None, lib("npm", "ms", "0.7.0"), {"CVE-2015-8315": ""}, set()),
    "npm_after_last_affected": (None, lib("npm", "ms", "0.7.1"), {}, {"CVE-2015-8315"}),
    "npm_several_ranges": (None, lib("npm", "hoek", "5.0.1"), {"CVE-2018-3728": "5.0.3"}, set()),
    "npm_between_ranges": (None, lib("npm", "hoek", "4.2.1"), {}, {"CVE-2018-3728"}),
    "crates": (None, lib("cargo", "tokio", "1.19.1"), {"CVE-2023-22466": "1.20.3"}, set()),
    "crates_withdrawn": (None, lib("cargo", "xml-rs", "0.8.0"), {}, {"RUSTSEC-2022-0048"}),
    "rubygems": (None, lib("gem", "rexml", "3.3.3"), {"CVE-2025-58767": "3.4.2", "CVE-2024-43398": "3.3.6"}, {"CVE-2024-41123"}),
}  # fmt: skip


@pytest.mark.parametrize(("distribution", "package", "want", "absent"), REAL.values(), ids=REAL)
def test_real_advisories(distribution, package, want, absent):
    got = found(package, distribution, real_lookup())
    assert {id_: got.get(id_) for id_ in want} == want
    assert not absent & got.keys()


DEBIAN_CVE = osv(
    "DEBIAN-CVE-2030-0001",
    affects("Debian:11", "thing", *before("2-1"), ecosystem_specific={"urgency": "low"}),
    upstream=["CVE-2030-0001"],
)
ERRATUM = osv(
    "DSA-9-1",
    affects("Debian:11", "thing", *before("2-1")),
    related=["CVE-2030-0001", "CVE-2030-0002"],
)
NO_FIX = osv("DEBIAN-CVE-2030-0003", affects("Debian:11", "thing", {"introduced": "0"}, ecosystem_specific={"urgency": "end-of-life"}), upstream=["CVE-2030-0003"])  # fmt: skip
NEVER = osv("CGA-1", affects("Wolfi", "thing", *before("0")), aliases=["CVE-2030-0004"])
PENDING = osv("CGA-2", affects("Wolfi", "thing", {"introduced": "0"}, database_specific={"status": "detection"}), aliases=["CVE-2030-0005"])  # fmt: skip
GHSA = osv("GHSA-aaaa", affects("npm", "@a/b", *before("2.0.0")), aliases=["CVE-2030-0006"], database_specific={"severity": "HIGH"})  # fmt: skip
SAME = osv("OTHER-1", affects("npm", "@a/b", *before("2.0.1")), aliases=["GHSA-aaaa"])
NODE_18 = osv(
    "ALSA-1",
    affects("AlmaLinux:8", "nodejs", *before("1:18.20.4-1.module_el8.10.0+100+aa"), versions=[]),
    affects("AlmaLinux:8", "nodejs", *before("1:18.20.4-1.module_el8.10.0+200+bb")),
    summary="Moderate: nodejs:18 security update",
    related=["CVE-2030-0007"],
)
RED_HAT = osv("RHSA-1", affects("Red Hat:enterprise_linux:9::baseos", "expat", *before("0:2.5.0-2.el9_4.1")), upstream=["CVE-2030-0008"], summary="Red Hat Security Advisory: expat")  # fmt: skip
EUS = osv("RHSA-2", affects("Red Hat:rhel_eus:9.2::baseos", "expat", *before("0:9.9-9.el9_2")), upstream=["CVE-2030-0009"])  # fmt: skip
PERL = osv("RHSA-3", affects("Red Hat:enterprise_linux:9::baseos", "perl", *before("4:5.32.1-481.el9")), upstream=["CVE-2030-0010"])  # fmt: skip
UBUNTU = osv("UBUNTU-CVE-2030-0011", affects("Ubuntu:22.04:LTS", "thing", *before("1-0ubuntu2")), upstream=["CVE-2030-0011"], severity=[{"type": "Ubuntu", "score": "medium"}])  # fmt: skip
ESM = osv(
    "UBUNTU-CVE-2030-0012",
    affects("Ubuntu:18.04:LTS", "thing", {"introduced": "0"}),
    affects("Ubuntu:Pro:18.04:LTS", "thing", *before("1-0ubuntu1+esm2")),
    upstream=["CVE-2030-0012"],
)
LIMIT = osv("X-1", affects("PyPI", "limited", {"introduced": "0"}, {"limit": "2.0"}))
ANY_ORDER = osv("X-2", affects("PyPI", "ordered", {"fixed": "3.0"}, {"introduced": "2.0"}, {"fixed": "1.5"}, {"introduced": "0"}))  # fmt: skip
TIE = osv("X-3", affects("PyPI", "tied", {"introduced": "0"}, {"fixed": "1.0"}, {"introduced": "1.0"}, {"fixed": "2.0"}))  # fmt: skip
LISTED = osv("X-4", affects("PyPI", "listed", versions=["1.0", "1.2"]))
LISTED_TOO = osv("X-5", affects("PyPI", "both", *before("1.0"), versions=["2.0"]))
GIT = osv("X-6", {"package": {"ecosystem": "PyPI", "name": "gitted"}, "ranges": [{"type": "GIT", "events": [{"introduced": "0"}]}]})  # fmt: skip
WITHDRAWN = osv("X-7", affects("PyPI", "withdrawn", {"introduced": "0"}), withdrawn="2026-01-01T00:00:00Z")  # fmt: skip
MAVEN = osv("X-8", affects("Maven", "org.a:b", *before("1.10")))
SUSE = osv("SUSE-1", affects("SUSE:Linux Enterprise Module for Basesystem 15 SP5", "zlib", *before("1.2.13-150500.4.3.1")), upstream=["CVE-2030-0013"])  # fmt: skip
MALICIOUS = osv("MAL-2030-1", affects("npm", "evil", {"introduced": "0"}))
KNOWN = osv("GHSA-bbbb", affects("Packagist", "Vendor/Lib", {"introduced": "0"}, database_specific={"last_known_affected_version_range": "<= 1.2.3"}))  # fmt: skip

MADE = [
    DEBIAN_CVE, ERRATUM, NO_FIX, NEVER, PENDING, GHSA, SAME, NODE_18, RED_HAT, EUS, PERL, UBUNTU, ESM, LIMIT,
    ANY_ORDER, TIE, LISTED, LISTED_TOO, GIT, WITHDRAWN, MAVEN, SUSE, MALICIOUS, KNOWN,
]  # fmt: skip
LOOKUP = MemoryLookup(MADE, enrichments={"CVE-2030-0006": Enrichment(known_exploited=True, exploit_probability=0.5)})  # fmt: skip

CASES = {
    "erratum_and_cve_are_one": (DEBIAN, deb("thing", "1-1"), {"CVE-2030-0001": "2-1", "CVE-2030-0002": "2-1", "CVE-2030-0003": ""}),
    "wolfi_never_affected": (WOLFI, apk("thing", "1.0-r0"), {"CVE-2030-0005": ""}),
    "wolfi_subpackage": (WOLFI, apk("thing-doc", "1.0-r0", "thing"), {"CVE-2030-0005": ""}),
    "aliases_are_one_fixed_by_the_last": (None, lib("npm", "b", "1.0.0", namespace="@a"), {"CVE-2030-0006": "2.0.1"}),
    "npm_scope_counts": (None, lib("npm", "b", "1.0.0"), {}),
    "module_same_stream": (ALMA8, rpm("nodejs", "18.20.2-1.module_el8.9.0+50+cc", epoch="1", rpmmod="nodejs:18:809:cc"), {"CVE-2030-0007": "1:18.20.4-1.module_el8.10.0+100+aa"}),
    "module_first_build_is_enough": (ALMA8, rpm("nodejs", "18.20.4-1.module_el8.10.0+100+aa", epoch="1", rpmmod="nodejs:18:810:aa"), {}),
    "module_other_stream": (ALMA8, rpm("nodejs", "16.20.2-1.module_el8.9.0+50+cc", epoch="1", rpmmod="nodejs:16:809:cc"), {}),
    "module_unknown_stream": (ALMA8, rpm("nodejs", "16.20.2-1.module_el8.9.0+50+cc", epoch="1"), {"CVE-2030-0007": "1:18.20.4-1.module_el8.10.0+100+aa"}),
    "no_module": (ALMA8, rpm("nodejs", "16.20.2-1.el8", epoch="1"), {}),
    "redhat_repository": (RHEL, rpm("expat", "2.5.0-2.el9_4"), {"CVE-2030-0008": "0:2.5.0-2.el9_4.1"}),
    "redhat_no_extended_support": (RHEL, rpm("expat", "2.5.0-2.el9_4.1"), {}),
    "centos_by_redhat": (Distribution(id="centos", version="9", name="CentOS Stream 9"), rpm("expat", "2.5.0-1.el9"), {"CVE-2030-0008": "0:2.5.0-2.el9_4.1"}),
    "redhat_source_has_own_epoch": (RHEL, rpm("perl", "5.32.1-480.el9", epoch="4"), {"CVE-2030-0010": "4:5.32.1-481.el9"}),
    "ubuntu": (JAMMY, deb("libthing", "1-0ubuntu1", "thing"), {"CVE-2030-0011": "1-0ubuntu2"}),
    "ubuntu_without_subscription": (BIONIC, deb("thing", "1-0ubuntu1"), {"CVE-2030-0012": ""}),
    "ubuntu_with_subscription": (BIONIC, deb("thing", "1-0ubuntu1+esm1"), {"CVE-2030-0012": "1-0ubuntu1+esm2"}),
    "ubuntu_subscription_fixed": (BIONIC, deb("thing", "1-0ubuntu1+esm2"), {}),
    "suse_module": (Distribution(id="sles", version="15.5"), rpm("libz1", "1.2.13-150500.4.1", "zlib", "1.2.13-150500.4.1"), {"CVE-2030-0013": "1.2.13-150500.4.3.1"}),
    "suse_other_service_pack": (Distribution(id="sles", version="15.4"), rpm("libz1", "1.2.13-1", "zlib", "1.2.13-1"), {}),
    "limit": (None, lib("pypi", "limited", "1.9"), {"X-1": ""}),
    "beyond_limit": (None, lib("pypi", "limited", "2.0"), {}),
    "events_in_any_order": (None, lib("pypi", "ordered", "2.5"), {"X-2": "3.0"}),
    "events_in_any_order_between": (None, lib("pypi", "ordered", "1.7"), {}),
    "fixed_and_introduced_at_once": (None, lib("pypi", "tied", "1.0"), {"X-3": "2.0"}),
    "fix_that_is_affected_again": (None, lib("pypi", "tied", "0.5"), {"X-3": "2.0"}),
    "listed_version": (None, lib("pypi", "listed", "1.2"), {"X-4": ""}),
    "listed_version_spelt_otherwise": (None, lib("pypi", "listed", "1.2.0"), {"X-4": ""}),
    "not_listed": (None, lib("pypi", "listed", "1.1"), {}),
    "listed_beside_ranges": (None, lib("pypi", "both", "2.0"), {"X-5": ""}),
    "commits_only": (None, lib("pypi", "gitted", "1.0"), {}),
    "withdrawn": (None, lib("pypi", "withdrawn", "1.0"), {}),
    "maven_group": (None, lib("maven", "b", "1.9", namespace="org.a"), {"X-8": "1.10"}),
    "maven_other_group": (None, lib("maven", "b", "1.9", namespace="org.other"), {}),
    "malicious": (None, lib("npm", "evil", "1.0.0"), {"MAL-2030-1": ""}),
    "last_known_affected": (None, lib("composer", "lib", "1.2.3", namespace="vendor"), {"GHSA-bbbb": ""}),
    "after_last_known_affected": (None, lib("composer", "lib", "1.2.4", namespace="vendor"), {}),
    "owned_by_the_distribution": (DEBIAN, lib("pypi", "listed", "1.2", owner="pkg:deb/debian/python3-listed@1"), {}),
}  # fmt: skip


@pytest.mark.parametrize(("distribution", "package", "want"), CASES.values(), ids=CASES)
def test_cases(distribution, package, want):
    assert found(package, distribution, LOOKUP) == want


def test_source_of_other_epoch():
    """perl-Errno counts epochs of its own; its source's epoch is that of the package perl."""
    packages = [
        rpm("perl", "5.32.1-480.el9", epoch="4"),
        rpm("perl-Errno", "1.30-480.el9", "perl", "5.32.1-480.el9", epoch="0"),
    ]
    matched = match(packages, RHEL, LOOKUP)
    assert [(f.package.partition("@")[0], f.evidence["installed_version"]) for f in matched.findings] == [
        ("pkg:rpm/perl", "4:5.32.1-480.el9"),
        ("pkg:rpm/perl-Errno", "4:5.32.1-480.el9"),
    ]  # fmt: skip


def test_one_finding_says_all():
    (finding,) = match([lib("npm", "b", "1.0.0", namespace="@a")], None, LOOKUP).findings
    assert finding.rule_id == "vulnerability/CVE-2030-0006"
    assert finding.severity is Severity.HIGH
    assert finding.fingerprint
    assert finding.evidence == {
        "vulnerability": "CVE-2030-0006",
        "aliases": "GHSA-aaaa OTHER-1",
        "fixed_version": "2.0.1",
        "modified_at": "2026-01-02T00:00:00Z",
        "known_exploited": "true",
        "exploit_probability": "0.5",
        "installed_version": "1.0.0",
        "fix_state": "fixed",
        "severity_source": "npm: high",
        "advisories": "GHSA-aaaa OTHER-1",
        "ecosystem": "npm",
    }


STATES = {
    "end_of_life": (DEBIAN, deb("thing", "3-1"), "CVE-2030-0003", "will-not-fix", Severity.MEDIUM),
    "low_by_distribution": (DEBIAN, deb("thing", "1-1"), "CVE-2030-0001", "fixed", Severity.LOW),
    "detected": (
        WOLFI,
        apk("thing", "1-r0"),
        "CVE-2030-0005",
        "under-investigation",
        Severity.MEDIUM,
    ),
    "paid": (BIONIC, deb("thing", "1-0ubuntu1"), "CVE-2030-0012", "will-not-fix", Severity.MEDIUM),
    "malicious": (None, lib("npm", "evil", "1.0.0"), "MAL-2030-1", "not-fixed", Severity.CRITICAL),
}


@pytest.mark.parametrize(("distribution", "package", "id_", "state", "severity"), STATES.values(), ids=STATES)  # fmt: skip
def test_states(distribution, package, id_, state, severity):
    findings = {f.evidence["vulnerability"]: f for f in match([package], distribution, LOOKUP).findings}  # fmt: skip
    assert (findings[id_].evidence["fix_state"], findings[id_].severity) == (state, severity)


REMEDIES = {
    "last_affected": (None, lib("npm", "ms", "0.6.0"), "Upgrade ms to a version after 0.7.0.", "fixed"),
    "last_affected_itself": (None, lib("npm", "ms", "0.7.0"), "Upgrade ms to a version after 0.7.0.", "fixed"),
    "go": (None, lib("golang", "stdlib", "1.25.11"), "Rebuild with Go 1.25.13 or later.", "fixed"),
    "debian": (DEBIAN, deb("sudo", "1.9.5p2-3"), "Upgrade sudo to 1.9.5p2-3+deb11u1 or later.", "fixed"),
    "no_fix": (None, lib("golang", "golang.org/x/crypto", "v0.99.0"), "No fix is out for golang.org/x/crypto yet: remove it if nothing needs it, and watch for an update.", "not-fixed"),
}  # fmt: skip


@pytest.mark.parametrize(("distribution", "package", "remedy", "state"), REMEDIES.values(), ids=REMEDIES)  # fmt: skip
def test_remedies(distribution, package, remedy, state):
    finding = match([package], distribution, real_lookup()).findings[0]
    assert (finding.remedy, finding.evidence["fix_state"]) == (remedy, state)


def test_an_erratum_says_when_the_fix_came_out():
    (finding,) = match([deb("sudo", "1.9.5p2-3")], DEBIAN, real_lookup()).findings
    assert finding.evidence["fixed_at"] == "2023-01-18T00:00:00Z"


UNMATCHED = {
    "unknown_distribution": (None, deb("thing", "1-1"), UNKNOWN_DISTRIBUTION),
    "derivative": (Distribution(id="kali", version="2024.1", id_like=("debian",)), deb("thing", "1-1"), UNKNOWN_DISTRIBUTION),
    "distribution_without_data": (Distribution(id="debian", version="7"), deb("thing", "1-1"), NO_DATA),
    "edge": (Distribution(id="alpine", version="edge"), apk("thing", "1-r0"), NO_DATA),
    "ecosystem_without_data": (None, lib("hex", "thing", "1.0.0"), NO_DATA),
    "type_without_ecosystem": (None, lib("generic", "thing", "1.0.0"), NO_DATA),
    "no_version": (None, lib("pypi", "ordered", ""), INCOMPARABLE),
    "version_of_no_scheme": (None, lib("pypi", "ordered", "main"), INCOMPARABLE),
}  # fmt: skip


@pytest.mark.parametrize(("distribution", "package", "code"), UNMATCHED.values(), ids=UNMATCHED)
def test_never_a_silent_zero(distribution, package, code):
    matched = match([package], distribution, LOOKUP)
    assert matched.findings == ()
    assert [issue.code for issue in matched.coverage.issues] == [code]


def test_bad_bound_is_told():
    lookup = MemoryLookup([osv("X-9", affects("PyPI", "x", *before("soon")))])
    (issue,) = match([lib("pypi", "x", "1.0")], None, lookup).coverage.issues
    assert issue.code == INCOMPARABLE
    assert "X-9" in issue.reason


BROKEN = osv("X-10", affects("Alpine:v3.11", "x", *before("4.10-1-r1")))


@pytest.mark.parametrize(
    ("version", "is_affected", "is_told"),
    [("4.9-r0", True, False), ("4.12-r0", False, False), ("5-r0", False, False), ("4.10-r5", False, True)],
)  # fmt: skip
def test_bound_that_only_begins_as_a_version(version, is_affected, is_told):
    matched = match([apk("x", version)], ALPINE, MemoryLookup([BROKEN]))
    assert (bool(matched.findings), bool(matched.coverage.issues)) == (is_affected, is_told)


def test_coverage_counts():
    packages = [
        deb("thing", "9-1"), deb("other", "1-1"), lib("pypi", "a", "1"), lib("hex", "b", "1"),
        lib("pypi", "listed", "1.2", owner="pkg:deb/debian/python3-listed@1"), lib("pypi", "gitted", "1.0"),
    ]  # fmt: skip
    coverage = match(packages, DEBIAN, LOOKUP).coverage
    assert [(e.ecosystem, e.packages_count, e.has_data) for e in coverage.ecosystems] == [
        ("Debian:11", 2, True), ("Hex", 1, False), ("PyPI", 2, True),
    ]  # fmt: skip
    assert coverage.owned_count == 1
    assert [note.partition(" ")[0] for note in coverage.notes] == ["1", "1"]
    assert "X-6" in coverage.notes[1]


def test_centos_is_told():
    centos = Distribution(id="centos", version="8", name="CentOS Linux 8")
    assert "Red Hat" in match([], centos, LOOKUP).coverage.notes[0]


def test_same_findings_whatever_the_order():
    packages = [deb("thing", "1-1"), lib("npm", "b", "1.0.0", namespace="@a"), lib("pypi", "tied", "1.0")]  # fmt: skip
    forward, backward = match(packages, DEBIAN, LOOKUP), match(packages[::-1], DEBIAN, LOOKUP)
    assert sorted(f.fingerprint for f in forward.findings) == sorted(f.fingerprint for f in backward.findings)  # fmt: skip
    assert len({f.fingerprint for f in forward.findings}) == len(forward.findings)
