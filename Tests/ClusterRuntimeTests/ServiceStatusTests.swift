import FoundationEssentials
import Testing

@testable import ClusterRuntime

@Suite struct ServiceStatusTests {
    private static func pod(_ name: String, _ isReady: Bool, namespace: String = "shop", more: String = "") -> String {
        """
        {"kind":"Pod","metadata":{"name":"\(name)","namespace":"\(namespace)","labels":{"app":"a","tier":"x"}\(more)},
         "spec":{"nodeName":"n"},"status":{"phase":"Running","conditions":[{"type":"Ready","status":"\(isReady ? "True" : "False")"}]}}
        """
    }

    private static func service(_ name: String, _ spec: String) -> String {
        #"{"kind":"Service","metadata":{"name":"\#(name)","namespace":"shop"},"spec":\#(spec)}"#
    }

    private static func endpoints(_ name: String, _ subsets: String) -> String {
        #"{"kind":"Endpoints","metadata":{"name":"\#(name)","namespace":"shop"}\#(subsets)}"#
    }

    private static func list(_ items: String...) -> Data {
        Data(#"{"kind":"List","items":[\#(items.joined(separator: ","))]}"#.utf8)
    }

    private static let selecting = #"{"type":"ClusterIP","selector":{"app":"a"}}"#

    @Test func aServiceIsBehindUntilItHasTheAddressOfAReadyPod() throws {
        let none = Self.list(Self.service("s", Self.selecting), Self.pod("p", true))
        #expect(try ServiceStatus.list(fromJSON: none).map(\.isBehind) == [true])
        let waiting = Self.list(
            Self.service("s", Self.selecting), Self.pod("p", true),
            Self.endpoints("s", #","subsets":[{"notReadyAddresses":[{"ip":"10.0.0.1"}]}]"#))
        #expect(try ServiceStatus.list(fromJSON: waiting).map(\.isBehind) == [true])
        let there = Self.list(
            Self.service("s", Self.selecting), Self.pod("p", true),
            Self.endpoints("s", #","subsets":[{"addresses":[{"ip":"10.0.0.1"}]}]"#))
        #expect(try ServiceStatus.list(fromJSON: there).map(\.isBehind) == [false])
    }

    @Test func itNeedNotLeadAnywhereWithoutReadyPodsOfItsOwn() throws {
        for pod in [
            Self.pod("p", false), Self.pod("p", true, namespace: "other"),
            Self.pod("p", true, more: #","deletionTimestamp":"2026-01-01T00:00:00Z""#),
        ] {
            let list = Self.list(Self.service("s", Self.selecting), pod)
            #expect(try ServiceStatus.list(fromJSON: list).map(\.isBehind) == [false])
        }
        let other = Self.list(Self.service("s", #"{"selector":{"app":"a","tier":"y"}}"#), Self.pod("p", true))
        #expect(try ServiceStatus.list(fromJSON: other).map(\.isBehind) == [false])
    }

    @Test func servicesWithoutSelectorAreTheirMakersBusiness() throws {
        let list = Self.list(
            Self.service("kubernetes", #"{"type":"ClusterIP"}"#), Self.service("empty", #"{"selector":{}}"#),
            Self.service("name", #"{"type":"ExternalName","selector":{"app":"a"}}"#), Self.pod("p", true))
        #expect(try ServiceStatus.list(fromJSON: list).isEmpty)
    }

    @Test func podsAreReadOutOfAListOfSeveralKinds() throws {
        let list = Self.list(
            Self.service("s", Self.selecting), Self.pod("p", true), Self.endpoints("s", ""), Self.pod("q", false))
        #expect(try PodStatus.list(fromJSON: list).map(\.name) == ["shop/p", "shop/q"])
        #expect(try PodStatus.list(fromJSON: list).map(\.isWell) == [true, false])
    }
}
