import FoundationEssentials
import Glibc
import LinuxSystem
import OCI
import Remote
import Report
import SystemPackage

/// The file on a node that says who changes its cluster. All calls block, and come one after the other among all agents
/// of the node: each holds the lock of the folder meanwhile.
struct LeaseFile: Sendable {
    /// What is written down.
    struct Record: Codable {
        var owner: LeaseOwner
        /// When it was taken.
        var taken: NodeMoment
        /// When its owner last gave a sign of life.
        var renewed: NodeMoment
    }

    /// What the file says.
    private enum Content {
        case nothing
        case record(Record, LeaseHolder)
        /// Something that is no record: it counts by the time of its last change.
        case damaged(LeaseHolder)
    }

    let path: FilePath

    /// The most bytes of a record.
    private static let limit = 64 << 10
    /// How long an agent waits for the others.
    private static let patience = Duration.seconds(30)

    init(_ path: FilePath) {
        self.path = path
    }

    private var folder: FilePath { path.removingLastComponent() }

    func answer(_ request: LeaseRequest) throws -> AgentReply {
        switch request {
        case .take(let owner, let staleAfter, let ended): try take(owner, staleAfter: staleAfter, ended: ended)
        case .renew(let owner): try renew(owner)
        case .giveBack(let id): try giveBack(id)
        case .look: try look()
        }
    }

    private func take(_ owner: LeaseOwner, staleAfter: Double, ended: [String]) throws -> AgentReply {
        guard staleAfter >= 0, staleAfter.isFinite else {
            throw Failure(.integrity, "a lease cannot be stale after \(staleAfter) s", at: path.string)
        }
        try Folder.make(folder)
        return try locked { now in
            var taken = now
            var before: LeaseHolder?
            switch try read(now) {
            case .nothing: break
            case .record(let record, _) where record.owner.id == owner.id: taken = record.taken
            case .record(_, let holder), .damaged(let holder):
                let hasEnded = holder.owner.map { ended.contains($0.id) } ?? false
                guard hasEnded || holder.silent >= staleAfter else { return .held(by: holder) }
                before = holder
            }
            try write(Record(owner: owner, taken: taken, renewed: now))
            return .leased(from: before)
        } ?? .absent
    }

    private func renew(_ owner: LeaseOwner) throws -> AgentReply {
        try locked { now in
            var taken = now
            switch try read(now) {
            // Not made anew: whoever took it over may have ended, or the host was taken back to what it was.
            case .nothing: return .absent
            case .record(let record, let holder):
                guard record.owner.id == owner.id else { return .held(by: holder) }
                taken = record.taken
            // It tells of nobody else, and this owner lives.
            case .damaged: break
            }
            try write(Record(owner: owner, taken: taken, renewed: now))
            return .leased(from: nil)
        } ?? .absent
    }

    private func giveBack(_ id: String?) throws -> AgentReply {
        try locked { now in
            if let id {
                guard case .record(let record, _) = try read(now), record.owner.id == id else { return .done }
            }
            try Folder.delete(path)
            return .done
        } ?? .done
    }

    private func look() throws -> AgentReply {
        try locked { now in
            switch try read(now) {
            case .nothing: .absent
            case .record(_, let holder), .damaged(let holder): .held(by: holder)
            }
        } ?? .absent
    }

    /// Does something while no other agent does; nil when there is no folder, and so no lease.
    private func locked(_ body: (NodeMoment) throws -> AgentReply) throws -> AgentReply? {
        let lock: FileLock
        do {
            lock = try FileLock(
                folder: folder, .exclusive, limit: Self.patience, guarding: "the lock of the host's cluster")
        } catch let failure as Failure where failure.kind == .notFound {
            return nil
        }
        defer { lock.release() }
        return try body(try NodeMoment.now())
    }

    private func read(_ now: NodeMoment) throws -> Content {
        var information = stat()
        guard lstat(path.string, &information) == 0 else {
            let error = Errno(rawValue: errno)
            if error == .noSuchFileOrDirectory { return .nothing }
            throw Failure(.system, "cannot look at the file", at: path.string, causes: [error])
        }
        guard information.st_mode & S_IFMT == S_IFREG else {
            throw Failure(
                .system, "is no file, so nobody can say there who changes the cluster", at: path.string,
                remedy: "remove it")
        }
        if information.st_size <= Self.limit {
            let bytes = try LinuxSystem.readFile(path, limit: Self.limit)
            do {
                let record = try JSONDecoder().decode(Record.self, from: bytes)
                if let age = now.seconds(since: record.taken), let silent = now.seconds(since: record.renewed) {
                    return .record(record, LeaseHolder(owner: record.owner, age: age, silent: silent))
                }
            } catch is DecodingError {
                // Damaged: a disk, or somebody's hand.
            }
        }
        return .damaged(try damage(information, now))
    }

    /// How old a file is that says nothing. One that comes from the future is brought into the present: else a clock that
    /// was set back would keep it for as long.
    private func damage(_ information: stat, _ now: NodeMoment) throws -> LeaseHolder {
        let changed = Double(information.st_mtim.tv_sec) + Double(information.st_mtim.tv_nsec) / 1e9
        // File systems keep times a little coarser than the clock.
        if changed > now.clock + 2, utimensat(AT_FDCWD, path.string, nil, AT_SYMLINK_NOFOLLOW) != 0 {
            throw Failure(.system, "cannot set the file's time", at: path.string, causes: [Errno(rawValue: errno)])
        }
        let age = max(now.clock - changed, 0)
        return LeaseHolder(owner: nil, age: age, silent: age)
    }

    private func write(_ record: Record) throws {
        let bytes = try canonicalJSON(record)
        guard bytes.count <= Self.limit else {
            throw Failure(.integrity, "who takes the lease has a name of \(bytes.count) bytes", at: path.string)
        }
        try AtomicFile.write(bytes, to: path)
    }
}

/// A moment on a node, so written down that one of its later moments can tell how long ago that was, whatever becomes of
/// its clock.
struct NodeMoment: Codable, Equatable {
    /// Which start of the kernel it was in.
    var boot: String
    /// Seconds since that start, asleep or not. No clock that is set changes them.
    var uptime: Double
    /// Seconds since 1970 by the node's clock.
    var clock: Double

    /// The present moment.
    static func now() throws -> NodeMoment {
        let boot = try readFile("/proc/sys/kernel/random/boot_id", limit: 4096)
        return NodeMoment(
            boot: String(decoding: boot, as: UTF8.self).filter { !$0.isWhitespace }, uptime: read(CLOCK_BOOTTIME),
            clock: read(CLOCK_REALTIME))
    }

    private static func read(_ clock: clockid_t) -> Double {
        var time = timespec()
        clock_gettime(clock, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    /// How many seconds ago an earlier moment of the same node was: exactly while the kernel runs on, else by the clock,
    /// and at least for as long as the kernel runs now. nil when neither can be: something else wrote it down.
    func seconds(since earlier: NodeMoment) -> Double? {
        if boot == earlier.boot, uptime >= earlier.uptime { return uptime - earlier.uptime }
        let byClock = clock - earlier.clock
        if boot != earlier.boot { return max(byClock, uptime) }
        return byClock >= 0 ? byClock : nil
    }
}
