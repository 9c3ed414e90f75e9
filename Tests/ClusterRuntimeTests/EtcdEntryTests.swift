import FoundationEssentials
import Remote
import Report
import Synchronization
import SystemPackage
import Testing

@testable import ClusterRuntime

@Suite("A master comes into etcd")
struct EtcdEntryTests {
    /// An etcd that lives in a master's `kubectl exec`.
    private final class Etcd: Sendable {
        struct State {
            var members: [EtcdMember]
            /// How often a promotion is refused yet.
            var refusals = 0
            /// Whether an addition is carried out and its answer lost; once.
            var losesAnswer = false
            /// Members that do not answer, by name.
            var silent: Set<String> = []
            var added = 0
            /// How often the node's storage was asked for; it is known at the third time.
            var looks = 0
        }
        let state: Mutex<State>

        init(_ state: State) { self.state = Mutex(state) }

        var members: [EtcdMember] { state.withLock { $0.members } }

        func answer(_ words: [String]) -> CommandResult {
            state.withLock { state in
                if words.contains("--output=jsonpath={.status.allocatable.ephemeral-storage}") {
                    state.looks += 1
                    return .succeeded(state.looks > 2 ? "1Gi" : "")
                }
                guard let start = words.firstIndex(of: "etcdctl") else { return .failed("what is \(words)?") }
                let common = ["--cacert=", "--cert=", "--key=", "--write-out="]
                let arguments = words[(start + 1)...].filter { word in !common.contains { word.hasPrefix($0) } }
                func value(_ name: String) -> String? {
                    arguments.first { $0.hasPrefix("\(name)=") }.map { String($0.dropFirst(name.count + 1)) }
                }
                let verbs = arguments.filter { !$0.hasPrefix("--") }
                switch Array(verbs.prefix(2)) {
                case ["member", "list"]:
                    let list = state.members.map { member in
                        #"{"ID":\#(member.identifier),"name":"\#(member.name)","#
                            + #""peerURLs":["\#(member.peerAddresses[0])"],"clientURLs":["\#(member.clientAddress)"],"#
                            + #""isLearner":\#(member.isLearner)}"#
                    }
                    return .succeeded("{\"members\":[\(list.joined(separator: ","))]}")
                case ["member", "add"]:
                    guard let peer = value("--peer-urls") else { return .failed("no peer") }
                    guard !state.members.contains(where: { $0.peerAddresses == [peer] }) else {
                        return .failed("Error: etcdserver: Peer URLs already exists")
                    }
                    state.added += 1
                    let isLearner = arguments.contains("--learner")
                    guard !isLearner || !state.members.contains(where: \.isLearner) else {
                        return .failed("Error: etcdserver: too many learner members in cluster")
                    }
                    state.members.append(
                        EtcdMember(
                            identifier: 100 + UInt64(state.added), name: "", peerAddresses: [peer], clientAddress: "",
                            isLearner: isLearner))
                    guard !state.losesAnswer else {
                        state.losesAnswer = false
                        return .failed("Error: etcdserver: request timed out")
                    }
                    return .succeeded()
                case ["member", "promote"]:
                    guard state.refusals == 0 else {
                        state.refusals -= 1
                        return .failed("etcdserver: can only promote a learner member which is in sync with leader")
                    }
                    for place in state.members.indices where state.members[place].identifierInHex == verbs[2] {
                        state.members[place].isLearner = false
                    }
                    return .succeeded()
                case ["member", "remove"]:
                    state.members.removeAll { $0.identifierInHex == verbs[2] }
                    return .succeeded()
                case ["endpoint", "health"]:
                    let endpoint = value("--endpoints")
                    let name = state.members.first { $0.clientAddress == endpoint }?.name ?? ""
                    return state.silent.contains(name) ? .failed("unhealthy") : .succeeded()
                default: return .failed("what is \(verbs)?")
                }
            }
        }
    }

    private static func member(_ number: UInt64, name: String? = nil, isLearner: Bool = false) -> EtcdMember {
        EtcdMember(
            identifier: number, name: name ?? "m\(number)",
            peerAddresses: [EtcdMember.peerAddress("10.0.0.\(number)")],
            clientAddress: name == "" ? "" : "https://10.0.0.\(number):2379", isLearner: isLearner)
    }

    private func kubeadm(_ version: KubernetesVersion = KubernetesVersion(1, 20, 2)) throws -> Kubeadm {
        try Kubeadm(.demo(version))
    }

    /// The first master, which asks etcd, and a newcomer `m9` that keeps what kubeadm was told.
    private func hosts(_ etcd: Etcd, phase: CommandResult = .succeeded()) throws -> (
        first: ClusterNode, newcomer: ClusterNode, told: @Sendable () -> [String]
    ) {
        let told = Mutex<[String]>([])
        let first = ScriptedNode("m1", files: ["/etc/sealerio/cri/socket-path": "/run/c.sock"]) { command, _ in
            etcd.answer(command.arguments)
        }
        let newcomer = ScriptedNode("m9", files: ["/etc/sealerio/cri/socket-path": "/run/c.sock"]) { command, files in
            guard command.arguments.first == "kubeadm" else { return .succeeded() }
            let text = String(decoding: files[Kubeadm.configurationFile.string] ?? Data(), as: UTF8.self)
            told.withLock { $0.append(command.arguments.joined(separator: " ") + "\n" + text) }
            return command.arguments.contains("etcd") ? phase : .succeeded()
        }
        func node(_ host: ScriptedNode, _ address: String) throws -> ClusterNode {
            ClusterNode(host: host, facts: try ScriptedNode.facts(host.name), role: .master, address: address)
        }
        return (try node(first, "10.0.0.1"), try node(newcomer, "10.0.0.9"), { told.withLock { $0 } })
    }

    private func join(_ etcd: Etcd, phase: CommandResult = .succeeded()) async throws -> [String] {
        let (first, newcomer, told) = try hosts(etcd, phase: phase)
        let runtime = try kubeadm()
        try await SilentProgress().step("") { try await runtime.joinEtcd(newcomer, through: first, step: $0) }
        return told()
    }

    @Test("as a learner that knows all members, and votes when etcd lets it")
    func learner() async throws {
        let etcd = Etcd(.init(members: [Self.member(1), Self.member(2)], refusals: 2))
        let told = try await join(etcd)
        #expect(told.count == 1)
        #expect(told[0].hasPrefix("kubeadm init phase etcd local --config"))
        #expect(told[0].contains("initial-cluster-state: existing"))
        let members = "m1=https://10.0.0.1:2380,m2=https://10.0.0.2:2380,m9=https://10.0.0.9:2380"
        #expect(told[0].contains(members))
        #expect(etcd.members.map(\.isLearner) == [false, false, false])
        #expect(etcd.state.withLock { $0.looks } == 3)
    }

    @Test("once, also when the answer to its coming is lost")
    func lostAnswer() async throws {
        let etcd = Etcd(.init(members: [Self.member(1)], losesAnswer: true))
        _ = try await join(etcd)
        #expect(etcd.members.count == 2)
        #expect(etcd.state.withLock { $0.added } == 1)
    }

    @Test("a learner that cannot start goes again, and the first cause is told")
    func failed() async throws {
        let etcd = Etcd(.init(members: [Self.member(1)]))
        let failure = await #expect(throws: Failure.self) {
            _ = try await self.join(etcd, phase: .failed("no room for the manifest"))
        }
        #expect(failure?.what.contains("no room for the manifest") == true)
        #expect(etcd.members == [Self.member(1)])
    }

    @Test("in the place of what an earlier host of its address or name left, never started or dead")
    func remains() async throws {
        let learner = Etcd(.init(members: [Self.member(1), Self.member(9, name: "", isLearner: true)]))
        _ = try await join(learner)
        #expect(learner.members.map(\.identifier) == [1, 101])

        let dead = Etcd(
            .init(members: [Self.member(1), Self.member(2), Self.member(9, name: "old")], silent: ["old"]))
        _ = try await join(dead)
        #expect(dead.members.map(\.identifier) == [1, 2, 101])
    }

    @Test("a node that leaves takes no member along that has its address by another name, but one without a name")
    func successor() async throws {
        let etcd = Etcd(.init(members: [Self.member(1), Self.member(2, name: "new")]))
        let (first, _, _) = try hosts(etcd)
        let runtime = try kubeadm()
        func leave() async throws {
            try await SilentProgress().step("") {
                try await runtime.removeEtcdMember("old", address: "10.0.0.2", through: first, step: $0)
            }
        }
        try await leave()
        #expect(etcd.members.count == 2)
        etcd.state.withLock { $0.members[1] = Self.member(2, name: "", isLearner: true) }
        try await leave()
        #expect(etcd.members == [Self.member(1)])
    }

    @Test("nobody is taken out whose going would cost the quorum, learners do not count for it")
    func quorum() async throws {
        let members = [Self.member(1), Self.member(2), Self.member(3), Self.member(4, isLearner: true)]
        let etcd = Etcd(.init(members: members, silent: ["m2"]))
        let (first, _, _) = try hosts(etcd)
        let runtime = try kubeadm()
        await #expect(throws: Failure.self) {
            try await SilentProgress().step("") {
                try await runtime.removeEtcdMember("m3", address: nil, through: first, step: $0)
            }
        }
        #expect(etcd.members == members)
        try await SilentProgress().step("") {
            try await runtime.removeEtcdMember("m4", address: nil, through: first, step: $0)
        }
        #expect(etcd.members == Array(members.prefix(3)))
    }

    @Test("kubeadm leaves etcd to sealer where it would make a member that votes at once and learners exist")
    func versions() throws {
        let entries = try [16, 17, 20, 28, 29, 31].map { try kubeadm(KubernetesVersion(1, $0, 0)).etcdEntry }
        #expect(entries == [.voting, .learning, .learning, .learning, .learningByKubeadm, .learningByKubeadm])
    }
}
