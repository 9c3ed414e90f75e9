import Report

extension AgentHost {
    /// Takes the lease of the host's cluster.
    public func takeLease(_ owner: LeaseOwner, staleAfter: Duration, ended: [String]) async throws -> LeaseOutcome {
        let request = LeaseRequest.take(owner, staleAfter: staleAfter / .seconds(1), ended: ended)
        switch try await ask(.lease(request), limit: Self.shortLimit, for: "the lock of the cluster") {
        case .leased(let before): return .taken(from: before)
        case .held(let holder): return .held(by: holder)
        case let other: throw unexpected(other)
        }
    }

    /// Gives a sign of life of who has the lease.
    public func renewLease(_ owner: LeaseOwner) async throws -> LeaseRenewal {
        switch try await ask(.lease(.renew(owner)), limit: Self.shortLimit, for: "the lock of the cluster") {
        case .leased: return .renewed
        case .held(let holder): return .takenOver(by: holder)
        case .absent: return .gone
        case let other: throw unexpected(other)
        }
    }

    /// Gives the lease back.
    public func returnLease(_ id: String?) async throws {
        let reply = try await ask(.lease(.giveBack(id)), limit: Self.shortLimit, for: "the lock of the cluster")
        guard reply == .done else { throw unexpected(reply) }
    }

    /// Who has the lease.
    public func lease() async throws -> LeaseHolder? {
        switch try await ask(.lease(.look), limit: Self.shortLimit, for: "the lock of the cluster") {
        case .held(let holder): return holder
        case .absent: return nil
        case let other: throw unexpected(other)
        }
    }
}
