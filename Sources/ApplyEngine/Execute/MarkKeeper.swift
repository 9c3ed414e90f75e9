import ClusterRuntime
import Remote
import Report

/// Keeps the marks of hosts while a plan is executed: one change of a host's mark at a time, each on the host before it counts.
actor MarkKeeper {
    private let cluster: String
    private let dataRoot: String
    private var marks: [String: NodeMark] = [:]
    private var turns: [String: Task<Void, any Error>] = [:]
    private var claims: [String: Task<Void, any Error>] = [:]

    init(cluster: String, dataRoot: String) {
        self.cluster = cluster
        self.dataRoot = dataRoot
    }

    /// Takes over what was read.
    func set(_ mark: NodeMark?, of host: String) {
        marks[host] = mark
    }

    /// The mark as it was last read or written.
    func mark(of host: String) -> NodeMark? { marks[host] }

    /// Writes the mark of a host that has none: before anything else is changed there.
    func claim(_ host: any Host) async throws {
        guard marks[host.name] == nil else { return }
        // Several steps begin on a host at once: one of them claims it for all.
        if let claim = claims[host.name] { return try await claim.value }
        let claim = Task {
            // Whoever leaves the cluster may have one that nobody has read yet.
            if let mark = try await NodeMark.read(from: host), mark.cluster == cluster {
                marks[host.name] = mark
                return
            }
            let newFolders = try await HostReset.absentFolders(on: host, dataRoot: dataRoot, cluster: cluster)
            try await HostBaseline.record(on: host)
            try await change(host) { mark in
                if mark.newFolders == nil { mark.newFolders = newFolders }
            }
        }
        claims[host.name] = claim
        defer { claims[host.name] = nil }
        try await claim.value
    }

    /// Changes a host's mark, and writes it.
    func change(_ host: any Host, _ body: @escaping @Sendable (inout NodeMark) -> Void) async throws {
        let before = turns[host.name]
        let turn = Task {
            // How the turn before ended is its own caller's business.
            if let before { _ = await before.result }
            var mark = marks[host.name] ?? NodeMark(cluster: cluster, dataRoot: dataRoot)
            body(&mark)
            if marks[host.name] != mark {
                try await Failpoint.reach("mark \(host.name)")
                try await mark.write(to: host)
                marks[host.name] = mark
            }
        }
        turns[host.name] = turn
        try await turn.value
    }
}

/// Gives all who join in one run the same ticket; the first one has it made.
actor TicketOffice {
    private var ticket: Task<JoinTicket, any Error>?

    /// The ticket.
    func ticket(_ make: @escaping @Sendable () async throws -> JoinTicket) async throws -> JoinTicket {
        if let ticket, case .success(let made) = await ticket.result, !made.isStale { return made }
        let task =
            ticket.map { old in
                Task {
                    if case .success(let made) = await old.result, !made.isStale { return made }
                    return try await make()
                }
            } ?? Task { try await make() }
        ticket = task
        return try await task.value
    }
}
