import ClusterRuntime
import Clusterfile
import FoundationEssentials
import ImageStore
import Infra
import OCI
import Remote
import Report
import SystemPackage

extension Engine {
    /// Looks at a cluster, and changes nothing. Hosts and an API server that do not answer are told, and hide nothing
    /// else; the API server is not waited for.
    ///
    /// - Throws: what keeps everything from being looked at: there is no image, or none of the hosts can be reached.
    public func status(_ cluster: Cluster) async throws -> ClusterStatus {
        let session = try await store.session()
        defer { session.end() }
        return try await withWork(cluster, patience: .zero) { work, places in
            var sight = try await self.look(cluster, work, places)
            let change = try await self.change(work, places, &sight)
            let certificates = try await self.certificates(work, &sight)
            let source = work.source
            let launched =
                cluster.applications
                ?? source.image.sealer.launch.map { launch in
                    switch launch {
                    case .app(let name): name
                    case .shell(let text): text
                    }
                }
            return ClusterStatus(
                name: cluster.name, change: change, image: cluster.image.familiar,
                imageDigest: source.image.descriptor.digest.description,
                kubernetes: source.settings.version.description, isRunning: sight.nodes != nil,
                nodes: sight.nodes(at: places.wanted), applications: cluster.commands ?? launched,
                certificates: certificates, drift: sight.drift, problems: sight.problems)
        }
    }

    // MARK: - Looking

    /// Looks at what answers. What would have to be done is only known when all masters do.
    private func look(_ cluster: Cluster, _ work: ClusterWork, _ places: Places) async throws -> ClusterSight {
        let there = places.wanted.filter { $0.transport != nil }
        await work.pool.set(there)
        let connections = try await work.observer.connect(there)
        var sight = ClusterSight()
        for outcome in connections {
            if let failure = outcome.failure { sight.note(failure, fromSilent: outcome.host) }
        }
        // Docker has told something of a container, even of one that does not answer.
        let knowsContainer = there.contains { $0.member.provider == .container }
        if sight.silent.count == there.count, !knowsContainer, let failure = Observer.failure(of: connections) {
            throw failure
        }
        let unreached = zip(there, connections).compactMap { place, outcome in
            outcome.failure.flatMap { UnreachedHost(place, $0) }
        }
        if unreached.count == sight.silent.count {
            do {
                let plan = try await self.plan(cluster, work, places, unreached: unreached)
                // Of who does not answer nothing is known that could be mended.
                sight.drift = plan.steps.filter { $0.action != .reach }.map(\.summary)
                sight.hosts = work.observation?.hosts ?? []
                sight.nodes = work.observation?.kubernetes?.nodes
                return sight
            } catch {
                try Task.checkCancellation()
                guard !there.isEmpty else { throw error }
                sight.note(error)
            }
        }
        try await look(at: there.filter { !sight.silent.contains($0.name) }, work, &sight)
        return sight
    }

    /// Looks at the hosts that are reached, and at Kubernetes through them.
    private func look(at reached: [HostPlace], _ work: ClusterWork, _ sight: inout ClusterSight) async throws {
        guard !reached.isEmpty else { return }
        for outcome in try await work.observer.lookAround(reached) {
            switch outcome.result {
            case .success(var seen):
                do {
                    seen.wantedName = try work.source.wantedName(of: seen)
                } catch {
                    // It keeps the name that it has.
                    sight.note(error, of: seen.host)
                }
                sight.hosts.append(seen)
            case .failure(let error as Failure) where error.isSilence:
                sight.note(error, fromSilent: outcome.host)
            case .failure(let error): sight.note(error, of: outcome.host)
            }
        }
        let (nodes, failures) = try await work.observer.nodesNow(sight.hosts)
        sight.nodes = nodes
        for failure in failures { sight.note(failure) }
    }

    /// Who holds the cluster's lock, of which the masters are asked one after the other until one knows somebody.
    private func change(
        _ work: ClusterWork, _ places: Places, _ sight: inout ClusterSight
    ) async throws -> ClusterStatus.Change? {
        for master in places.masters where !sight.silent.contains(master) {
            do {
                let found = try await work.pool.withConnection(master) { try await $0.host.lease() }
                guard let holder = found, let owner = holder.owner,
                    holder.silent < ClusterLock.staleAfter / .seconds(1)
                else { continue }
                return .init(
                    user: owner.user, machine: owner.machine, process: owner.process, command: owner.command,
                    age: Int(min(holder.age, 1e9)), silent: Int(min(holder.silent, 1e9)))
            } catch {
                try Task.checkCancellation()
                sight.note(error, of: master)
            }
        }
        return nil
    }

    /// The certificates of the masters that were seen, those that end first in front.
    private func certificates(
        _ work: ClusterWork, _ sight: inout ClusterSight
    ) async throws -> [ClusterStatus.Certificate] {
        var found: [ClusterStatus.Certificate] = []
        let masters = sight.hosts.filter(\.isMasterOfCluster).map(\.host)
        for master in masters {
            do {
                let files = try await Self.certificateFiles(of: master, work)
                for place in CertificatePlace.ofMaster {
                    guard let bytes = files[place] else { continue }
                    do {
                        guard let pem = try place.certificate(in: bytes) else { continue }
                        found.append(try ClusterStatus.Certificate(host: master, name: place.name, pem: pem))
                    } catch {
                        sight.note(error, of: master)
                    }
                }
            } catch {
                try Task.checkCancellation()
                sight.note(error, of: master)
            }
        }
        return found.sorted { ($0.ends, $0.host, $0.name) < ($1.ends, $1.host, $1.name) }
    }

    /// The files that a master has certificates in; those that are not there are left out.
    private static func certificateFiles(
        of master: String, _ work: ClusterWork
    ) async throws -> [CertificatePlace: Data] {
        try await work.pool.withConnection(master) { connection in
            var files: [CertificatePlace: Data] = [:]
            for place in CertificatePlace.ofMaster {
                files[place] = try await connection.host.readFile(place.path, limit: 1 << 20)
            }
            return files
        }
    }
}
