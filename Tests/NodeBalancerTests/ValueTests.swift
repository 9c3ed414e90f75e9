import FoundationEssentials
import Report
import TestSupport
import Testing

@testable import NodeBalancer

@Suite("A backend's health")
struct BackendHealthTests {
    @Test("goes down after so many failures in a row, up after so many successes, and is unknown only at first")
    func example() {
        var limits = BalancerConfiguration.Limits()
        (limits.failures, limits.successes) = (3, 2)
        var health = BackendHealth()
        var states: [BackendHealth.State] = []
        for isWell in [false, false, true, false, false, true, false, false, false, true, false, true, true] {
            _ = health.record(isWell: isWell, limits: limits)
            states.append(health.state)
        }
        #expect(
            states == [
                .unknown, .unknown, .up, .up, .up, .up, .up, .up, .down, .down, .down, .down, .up,
            ])
    }

    @Test("is what the last outcomes say, whatever came before", arguments: 0..<100 as Range<UInt64>)
    func property(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        var limits = BalancerConfiguration.Limits()
        limits.failures = Int.random(in: 1...5, using: &generator)
        limits.successes = Int.random(in: 1...5, using: &generator)
        var health = BackendHealth()
        var outcomes: [Bool] = []
        // Long runs of the same outcome, so that every state is reached.
        while outcomes.count < 300 {
            let isWell = Bool.random(using: &generator)
            for _ in 0..<Int.random(in: 1...7, using: &generator) {
                let before = health
                let news = health.record(isWell: isWell, limits: limits)
                outcomes.append(isWell)
                if Bool.random(using: &generator) {
                    let state = health.state
                    health.noteConnection(succeeded: Bool.random(using: &generator))
                    #expect(health.state == state)
                }
                #expect(news == (health.state == before.state ? nil : health.state))
                #expect(health.state == Self.state(after: outcomes, limits))
            }
        }
    }

    /// The same, worked out from the whole history.
    private static func state(after outcomes: [Bool], _ limits: BalancerConfiguration.Limits) -> BackendHealth.State {
        var result = BackendHealth.State.unknown
        for end in 1...outcomes.count {
            let past = outcomes[..<end]
            let failures = past.reversed().prefix { !$0 }.count
            let successes = past.reversed().prefix { $0 }.count
            if failures >= limits.failures { result = .down }
            if result == .unknown, successes > 0 { result = .up }
            if result == .down, successes >= limits.successes { result = .up }
        }
        return result
    }

    @Test("decides who is tried first")
    func ranks() {
        var limits = BalancerConfiguration.Limits()
        limits.failures = 1
        let unknown = BackendHealth()
        var (up, failed, down) = (unknown, unknown, unknown)
        _ = up.record(isWell: true, limits: limits)
        failed = up
        failed.noteConnection(succeeded: false)
        _ = down.record(isWell: false, limits: limits)
        #expect([up, failed, unknown, down].map(\.rank) == [up, failed, unknown, down].map(\.rank).sorted())
        #expect(up.rank < failed.rank && failed.rank < unknown.rank && unknown.rank < down.rank)
    }
}

@Suite("The order of backends")
struct BackendOrderTests {
    @Test("puts the healthier first, then the less busy, and takes turns")
    func order() {
        #expect(BackendOrder.positions(ranks: [0, 4, 0], connections: [5, 0, 2], turn: 0) == [2, 0, 1])
        let turns = (0..<3).map { BackendOrder.positions(ranks: [0, 0, 0], connections: [1, 1, 1], turn: $0) }
        #expect(turns == [[0, 1, 2], [1, 2, 0], [2, 0, 1]])
        #expect(BackendOrder.positions(ranks: [], connections: [], turn: 3) == [])
        #expect(BackendOrder.positions(ranks: [4], connections: [9], turn: 3) == [0])
    }

    @Test("holds every backend once", arguments: 0..<50 as Range<UInt64>)
    func property(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let count = Int.random(in: 1...9, using: &generator)
        let ranks = (0..<count).map { _ in Int.random(in: 0...4, using: &generator) }
        let connections = (0..<count).map { _ in Int.random(in: 0...3, using: &generator) }
        let order = BackendOrder.positions(
            ranks: ranks, connections: connections, turn: Int.random(in: 0...100, using: &generator))
        #expect(order.sorted() == Array(0..<count))
        for (first, second) in zip(order, order.dropFirst()) {
            #expect((ranks[first], connections[first]) <= (ranks[second], connections[second]))
        }
    }
}

@Suite("A balancer's configuration")
struct ConfigurationTests {
    @Test(
        "has endpoints of an address and a port",
        arguments: [
            ("10.0.0.1:6443", "10.0.0.1:6443"), ("[fd00:0::0:1]:1", "[fd00::1]:1"), ("[::1]:65535", "[::1]:65535"),
        ])
    func endpoints(text: String, same: String) {
        #expect(BalancerEndpoint(text)?.description == same)
    }

    @Test(
        "has no other endpoints",
        arguments: [
            "", ":", "10.0.0.1", "10.0.0.1:", "10.0.0.1:0", "10.0.0.1:65536", "10.0.0.1:+1", "10.0.0.1:1 ", "host:1",
            "fd00::1:6443", "[10.0.0.1]:1", "[fd00::1]", "[fd00::1:1", "10.0.0.256:1", "10.1:1", "[fe80::1%eth0]:1",
        ])
    func noEndpoints(text: String) {
        #expect(BalancerEndpoint(text) == nil)
    }

    @Test("is read back as it was written")
    func roundTrip() throws {
        var configuration = BalancerConfiguration(
            services: [
                .init(
                    name: "apiserver", listen: try #require(BalancerEndpoint("127.0.0.1:6443")),
                    backends: try ["10.0.0.1:6443", "[fd00::2]:6443"].map { try #require(BalancerEndpoint($0)) },
                    check: .init(path: "/readyz", authority: "/etc/kubernetes/pki/ca.crt")),
                .init(
                    name: "registry", listen: try #require(BalancerEndpoint("[::1]:5000")),
                    backends: [try #require(BalancerEndpoint("10.0.0.1:5000"))]),
            ], status: "/run/sealer/balancer.json")
        configuration.intervals.check = .milliseconds(1500)
        configuration.intervals.drain = .zero
        configuration.limits.connections = 7
        let text = String(decoding: try configuration.json(), as: UTF8.self)
        #expect(try BalancerConfiguration(parsing: text, file: "f") == configuration)
    }

    @Test(
        "that is wrong is told with all places",
        arguments: [
            ("{", ["f:1:"]),
            ("[]", ["f:1:1: a configuration must be an object, not a list"]),
            ("{}", ["f:1:1: the field \"services\" is missing"]),
            ("{\"services\": 1}", ["f:1:14: services must be a list, not a number"]),
            (
                "{\"services\": [{\"listen\": \"host:1\"}], \"x\": 2}",
                [
                    "f:1:15: the field \"name\" is missing", "f:1:15: the field \"backends\" is missing",
                    "f:1:26: listen must be ADDRESS:PORT, such as 10.0.0.1:6443 or [fd00::1]:6443",
                    "f:1:38: unknown field \"x\", expected services, intervals, limits, status",
                ]
            ),
            (
                """
                {"services": [
                  {"name": "a", "listen": "127.0.0.1:1", "backends": []},
                  {"name": "a", "listen": "127.0.0.1:1", "backends": ["10.0.0.1:1", "10.0.0.1:1", 5],
                   "check": {"kind": "udp"}}
                ]}
                """,
                [
                    "f:2:54: backends must name at least one", "f:3:12: two services have the name a",
                    "f:3:27: two services have the listen 127.0.0.1:1", "f:3:69: the backend 10.0.0.1:1 is there twice",
                    "f:3:83: a backend must be ADDRESS:PORT, such as 10.0.0.1:6443 or [fd00::1]:6443",
                    "f:4:22: \"udp\" is no kind of check, expected tcp or https",
                ]
            ),
            (
                """
                {"services": [],
                 "intervals": {"check": 0, "timeout": "2s", "often": 1},
                 "limits": {"connections": 0, "failures": 1.5},
                 "status": "status.json"}
                """,
                [
                    "f:2:25: check must be seconds from 0.01 to 3600",
                    "f:2:39: timeout must be seconds from 0.01 to 3600",
                    "f:2:45: unknown field \"often\", expected check, timeout, connect, drain",
                    "f:3:28: connections must be a whole number from 1 to 1000000",
                    "f:3:43: failures must be a whole number from 1 to 1000",
                    "f:4:12: status must be an absolute path",
                ]
            ),
            (
                """
                {"services": [
                  {"name": "a", "listen": "127.0.0.1:1", "backends": ["10.0.0.1:1"], "check": {"kind": "tcp", "path": "/"}},
                  {"name": "b", "listen": "127.0.0.1:2", "backends": ["10.0.0.1:1"], "check": {"kind": "https"}},
                  {"name": "c", "listen": "127.0.0.1:3", "backends": ["10.0.0.1:1"],
                   "check": {"kind": "https", "path": "/a b", "authority": "ca.crt"}}
                ]}
                """,
                [
                    "f:2:103: path is for checks of kind https only", "f:3:79: the field \"path\" is missing",
                    "f:5:39: path must begin with / and hold no blanks, such as /readyz",
                    "f:5:60: authority must be an absolute path",
                ]
            ),
        ])
    func mistakes(text: String, messages: [String]) throws {
        let error = try #require(throws: InvalidText.self) { try BalancerConfiguration(parsing: text, file: "f") }
        let told = error.diagnostics.map(\.description)
        try #require(told.count == messages.count, "\(told)")
        for (line, message) in zip(told, messages) { #expect(line.hasPrefix(message)) }
    }

    @Test("that is damaged is read or refused, and nothing else happens", arguments: 0..<20 as Range<UInt64>)
    func damaged(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let whole = try BalancerConfiguration(services: [
            .init(
                name: "a", listen: try #require(BalancerEndpoint("127.0.0.1:1")),
                backends: [try #require(BalancerEndpoint("[fd00::1]:2"))], check: .init(path: "/", authority: "/ca"))
        ]).json()
        for _ in 0..<100 {
            var bytes = Array(whole)
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                let place = Int.random(in: 0..<bytes.count, using: &generator)
                switch Int.random(in: 0..<3, using: &generator) {
                case 0: bytes[place] = UInt8.random(in: 0...255, using: &generator)
                case 1: bytes.remove(at: place)
                default: bytes.insert(contentsOf: "{[\"9:,]}".utf8.shuffled(using: &generator).prefix(2), at: place)
                }
            }
            do {
                let configuration = try BalancerConfiguration(
                    parsing: String(decoding: bytes, as: UTF8.self), file: "f")
                #expect(configuration.services.allSatisfy { !$0.backends.isEmpty })
            } catch {
                #expect(!error.diagnostics.isEmpty)
            }
        }
    }
}

@Suite("The balancer's unit")
struct BalancerUnitTests {
    @Test("waits for nothing and is quoted for systemd")
    func text() {
        let unit = BalancerUnit(executable: "/var/lib/sealer/bin/ab12/sealer", configuration: "/etc/my 100% $x/lb.json")
        #expect(
            unit.text.contains(
                "\nExecStart=/var/lib/sealer/bin/ab12/sealer node lb --config \"/etc/my 100%% $$x/lb.json\"\n"))
        for line in [
            "Restart=always", "StartLimitIntervalSec=0", "Before=kubelet.service", "WantedBy=multi-user.target",
        ] {
            #expect(unit.text.split(separator: "\n").contains(Substring(line)))
        }
        for word in ["network-online", "Requires=", "Wants="] { #expect(!unit.text.contains(word)) }
    }
}
