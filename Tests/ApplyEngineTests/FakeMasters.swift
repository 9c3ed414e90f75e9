import ClusterRuntime
import Clusterfile
import FoundationEssentials
import Infra
import OCI
import Remote
import Report
import Synchronization
import SystemPackage

@testable import ApplyEngine

/// A master that keeps a lease in memory, and may be out of reach.
final class FakeMaster: UnaskedHost {
    struct State {
        var owner: LeaseOwner?
        /// How long the owner has been silent, as the host sees it.
        var silent = 0.0
        var isReachable = true
        /// Whether the connection to it was lost and not made anew yet.
        var isLost = false
        var events: [String] = []
        var files: [String: Data] = [:]
    }

    let name: String
    private let state = Mutex(State())

    init(_ name: String) { self.name = name }

    func change<Result: Sendable>(_ body: (inout sending State) -> sending Result) -> Result { state.withLock(body) }
    var isLost: Bool { state.withLock { $0.isLost } }
    var events: [String] { state.withLock { $0.events } }
    var owner: String? { state.withLock { $0.owner?.id } }

    /// Notes what is asked, if the host can be reached.
    private func note(_ event: String) throws {
        try state.withLock { state in
            if !state.isReachable { state.isLost = true }
            guard !state.isLost else { throw Failure(.unreachable, "the connection was closed", at: name) }
            state.events.append(event)
        }
    }

    private static func holder(_ owner: LeaseOwner, _ silent: Double) -> LeaseHolder {
        LeaseHolder(owner: owner, age: 250, silent: silent)
    }

    func takeLease(_ owner: LeaseOwner, staleAfter: Duration, ended: [String]) async throws -> LeaseOutcome {
        try note("take \(owner.id)")
        return state.withLock { state in
            var before: LeaseHolder?
            if let other = state.owner, other.id != owner.id {
                let holder = Self.holder(other, state.silent)
                guard ended.contains(other.id) || state.silent >= staleAfter / .seconds(1) else {
                    return .held(by: holder)
                }
                before = holder
            }
            (state.owner, state.silent) = (owner, 0)
            return .taken(from: before)
        }
    }

    func renewLease(_ owner: LeaseOwner) async throws -> LeaseRenewal {
        try note("renew \(owner.id)")
        return state.withLock { state in
            guard let holder = state.owner else { return .gone }
            return holder.id == owner.id ? .renewed : .takenOver(by: Self.holder(holder, state.silent))
        }
    }

    func returnLease(_ id: String?) async throws {
        try note("return \(id ?? "all")")
        return state.withLock { state in
            if id == nil || state.owner?.id == id { state.owner = nil }
        }
    }

    func lease() async throws -> LeaseHolder? {
        try note("look")
        return state.withLock { state in state.owner.map { Self.holder($0, state.silent) } }
    }

    func readFile(_ path: FilePath, limit: Int) async throws -> Data? {
        try note("read")
        return state.withLock { $0.files[path.string] }
    }
}

/// Masters by name, and how often each was connected to.
final class FakeMasters: HostConnector {
    let all: [String: FakeMaster]
    private let counts = Mutex<[String: Int]>([:])

    init(_ names: [String]) { all = Dictionary(uniqueKeysWithValues: names.map { ($0, FakeMaster($0)) }) }

    subscript(name: String) -> FakeMaster { all[name] ?? FakeMaster(name) }

    func connections(_ name: String) -> Int { counts.withLock { $0[name] ?? 0 } }

    func connect(_ host: String, over transport: any Transport) async throws -> ConnectedHost {
        let master = self[host]
        guard master.change({ $0.isReachable }) else { throw Failure(.unreachable, "no route", at: host) }
        counts.withLock { $0[host, default: 0] += 1 }
        master.change { $0.isLost = false }
        return ConnectedHost(host: master, executable: "/none")
    }

    /// Connections of one operator to all of them.
    func pool() async throws -> HostPool {
        let cluster = Cluster(
            name: "shop", image: try Reference("shop:1"),
            hosts: [HostGroup(addresses: try [IPAddress](ranges: "10.0.0.1"), roles: ["master"])])
        let pool = HostPool(self)
        await pool.set(
            all.keys.compactMap { name in
                cluster.members.first.map {
                    HostPlace(name: name, member: $0, address: name, transport: LocalTransport(host: name))
                }
            })
        return pool
    }
}

/// Keeps the warnings.
final class Warnings: ProgressSink {
    private let texts = Mutex<[String]>([])
    var all: [String] { texts.withLock { $0 } }

    func send(_ event: ProgressEvent) {
        if case .warning(let text) = event { texts.withLock { $0.append(text) } }
    }
}
