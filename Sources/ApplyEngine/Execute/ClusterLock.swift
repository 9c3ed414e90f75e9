import Remote
import Report

/// The lock of a cluster on its masters, so that two operators' machines do not change it at once: each master keeps a
/// lease, which is renewed as long as the work goes on, and which others take over when nobody has renewed it for a while.
struct ClusterLock: Sendable {
    /// The most that a holder may be silent before others take over.
    static let staleAfter = Duration.seconds(90)

    /// What the work does to hosts.
    enum Purpose: Sendable {
        /// It changes them: without a lease it does not begin.
        case change
        /// It takes them back to what they were, the lease as well, as far as they can be reached.
        case removal
    }

    let purpose: Purpose
    /// Identifiers of owners that are known to have ended: what they left counts for nothing.
    var ended: [String] = []
    var staleAfter = Self.staleAfter
    /// How often the owner gives a sign of life.
    var interval = Duration.seconds(20)
    /// How soon it tries again when that failed.
    var retry = Duration.seconds(5)
    /// How long giving back may take.
    var returnLimit = Duration.seconds(20)

    /// Runs `body` while the leases on hosts are held.
    ///
    /// - Parameter hosts: the masters that there are, as the pool names them; with none, `body` just runs.
    /// - Throws: `Failure` of kind `conflict` that says who changes the cluster, before `body` begins, or when somebody
    ///   has taken over since: `body` is cancelled then, and has ended. Else what `body` throws.
    func holding<Result: Sendable>(
        on hosts: [String], pool: HostPool, owner: LeaseOwner, progress: any ProgressSink,
        _ body: @escaping @Sendable () async throws -> Result
    ) async throws -> Result {
        // All take in the same order, so that of two who begin at once one gets all.
        let hosts = Set(hosts).sorted()
        // All that were asked: what one was asked may have been done although its answer was lost.
        var asked: [String] = []
        do {
            let taken = try await take(hosts, &asked, pool, owner, progress)
            let result = try await keeping(taken, pool, owner, progress, body)
            await giveBack(asked, pool, owner, progress)
            return result
        } catch {
            await giveBack(asked, pool, owner, progress)
            throw error
        }
    }

    // MARK: - Taking

    private func take(
        _ hosts: [String], _ asked: inout [String], _ pool: HostPool, _ owner: LeaseOwner,
        _ progress: any ProgressSink
    ) async throws -> [String] {
        var taken: [String] = []
        var failures: [any Error] = []
        for host in hosts {
            asked.append(host)
            do {
                switch try await Failpoint.around("lease \(host)", { try await take(host, pool, owner) }) {
                case .held(let holder): throw conflict(holder, owner)
                case .taken(let before): warn(of: before, owner, progress)
                }
                taken.append(host)
            } catch let held as Held {
                throw held.failure
            } catch {
                try Task.checkCancellation()
                let isLost = (error as? Failure)?.isSilence ?? false
                guard isLost || purpose == .removal else { throw error }
                failures.append(error)
            }
        }
        // What cannot be reached is told by what takes it back.
        guard !failures.isEmpty, purpose == .change else { return taken }
        guard !taken.isEmpty else {
            throw Failure.several("no master could be asked whether somebody else changes the cluster", failures)
        }
        for failure in failures {
            progress.send(
                .warning("a master does not keep others away from the cluster: \(Failure.words(of: failure))"))
        }
        return taken
    }

    /// A connection that broke meanwhile is made anew once.
    private func take(_ host: String, _ pool: HostPool, _ owner: LeaseOwner) async throws -> LeaseOutcome {
        let (staleAfter, ended) = (staleAfter, ended)
        let ask = { @Sendable () async throws -> LeaseOutcome in
            try await pool.connection(host).host.takeLease(owner, staleAfter: staleAfter, ended: ended)
        }
        guard purpose == .change else {
            return try await withLimit(.seconds(60), waitingFor: "the lock of the cluster", at: host, ask)
        }
        do {
            return try await ask()
        } catch let failure as Failure where failure.kind == .unreachable {
            return try await ask()
        }
    }

    /// Somebody else has it: told from all other failures.
    private struct Held: Error {
        let failure: Failure
    }

    private func conflict(_ holder: LeaseHolder, _ owner: LeaseOwner) -> Held {
        let left = max((staleAfter / .seconds(1) - min(holder.silent, 1e9)).rounded(.up), 1)
        return Held(
            failure: Failure(
                .conflict, "the cluster is being changed by \(holder.words)", at: owner.cluster,
                remedy: "wait for it; if that machine is dead, run the command again in \(LeaseHolder.words(left)): "
                    + "the lock is taken over after \(LeaseHolder.words(staleAfter / .seconds(1))) without a sign of life"
            ))
    }

    private func warn(of before: LeaseHolder?, _ owner: LeaseOwner, _ progress: any ProgressSink) {
        guard let before, !ended.contains(before.owner?.id ?? "") else { return }
        progress.send(
            .warning("\(owner.cluster): took over the lock that was left behind by \(before.words)"))
    }

    // MARK: - Keeping

    private func keeping<Result: Sendable>(
        _ hosts: [String], _ pool: HostPool, _ owner: LeaseOwner, _ progress: any ProgressSink,
        _ body: @escaping @Sendable () async throws -> Result
    ) async throws -> Result {
        try await withThrowingTaskGroup(of: Result?.self) { group in
            group.addTask { try await body() }
            for host in hosts {
                group.addTask {
                    do {
                        try await renew(host, pool, owner, progress)
                    } catch is CancellationError {
                        // How the work ends when all is cancelled is its own news.
                        return nil
                    }
                }
            }
            defer { group.cancelAll() }
            do {
                while let ending = try await group.next() {
                    if let result = ending { return result }
                }
                throw CancellationError()
            } catch let held as Held {
                // The work is cancelled and waited for; how it ends is not the news.
                throw held.failure
            }
        }
    }

    /// Gives signs of life until it is cancelled, or somebody else has taken over. A host that is out of reach is asked
    /// again and again: what that means for the work is the work's own business.
    private func renew(
        _ host: String, _ pool: HostPool, _ owner: LeaseOwner, _ progress: any ProgressSink
    ) async throws -> Never {
        var last = ContinuousClock.now
        var isTold = false
        var pause = interval
        while true {
            try await Task.sleep(for: pause)
            do {
                let asked = ContinuousClock.now
                switch try await ask(host, pool, { try await $0.renewLease(owner) }) {
                case .renewed: (last, isTold, pause) = (asked, false, interval)
                case .takenOver(let holder): throw lost(host, owner, "by \(holder.words)")
                case .gone where purpose == .change:
                    throw lost(
                        host, owner, "by somebody who has ended since, or the host was taken back to what it was")
                case .gone, nil: continue
                }
            } catch let held as Held {
                throw held
            } catch {
                try Task.checkCancellation()
                pause = retry
                guard !isTold, ContinuousClock.now - last > staleAfter else { continue }
                isTold = true
                progress.send(
                    .warning(
                        "\(host) could not be told for \(LeaseHolder.words(staleAfter / .seconds(1))) that the cluster "
                            + "is being changed, so others may take it over there: \(Failure.words(of: error))"))
            }
        }
    }

    /// Asks a host that has been asked before; nil where it is being removed and there is no connection any more: a new
    /// one would bring the agent there again.
    private func ask<Answer: Sendable>(
        _ host: String, _ pool: HostPool, _ body: @Sendable (any Host) async throws -> Answer
    ) async throws -> Answer? {
        if purpose == .removal, await !pool.isConnected(host) { return nil }
        return try await body(try await pool.connection(host).host)
    }

    private func lost(_ host: String, _ owner: LeaseOwner, _ how: String) -> Held {
        Held(
            failure: Failure(
                .conflict, "the lock of the cluster was taken over on \(host) \(how)", at: owner.cluster,
                remedy: "what was done stays done; find out who else changes the cluster before you run it again"))
    }

    // MARK: - Giving back

    /// In a task of its own: this one may be cancelled, and the others must not wait for nothing.
    private func giveBack(
        _ hosts: [String], _ pool: HostPool, _ owner: LeaseOwner, _ progress: any ProgressSink
    ) async {
        let limit = returnLimit
        let failures = await Task {
            await failuresOfEach(hosts) { host in
                try await withLimit(limit, waitingFor: "the lock to be given back", at: host) {
                    try await Failpoint.around("return lease \(host)") {
                        _ = try await ask(host, pool) { try await $0.returnLease(owner.id) }
                    }
                }
            }
        }.value
        // Hosts that were removed cannot be asked; of others their removal has told.
        guard purpose == .change else { return }
        for failure in failures {
            progress.send(
                .warning(
                    "the lock of the cluster could not be given back and keeps others away for up to "
                        + "\(LeaseHolder.words(staleAfter / .seconds(1))): \(Failure.words(of: failure))"))
        }
    }
}
