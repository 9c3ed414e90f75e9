import Glibc
import LinuxSystem
import Report
import Synchronization
import SystemPackage

/// The file of accounts of a registry that runs: it is looked at now and then, and read again when it has changed. As long as
/// what it has become cannot be read, the accounts that were read before stay in force.
final class AccountsFile: Sendable {
    /// Tells one content of the file from the next.
    struct Stamp: Hashable, Sendable {
        var device: UInt64
        var inode: UInt64
        var size: Int64
        /// When it was changed last, in nanoseconds since 1970.
        var modified: Int64
        /// When what the system knows of it was changed last, in nanoseconds since 1970.
        var changed: Int64

        /// Blocking.
        init(_ path: FilePath) throws {
            var information = stat()
            guard stat(path.string, &information) == 0 else {
                let error = Errno(rawValue: errno)
                throw Failure(
                    error == .noSuchFileOrDirectory ? .notFound : .system, "cannot look at the file", at: path.string,
                    causes: [error])
            }
            func nanoseconds(_ time: timespec) -> Int64 {
                Int64(time.tv_sec).multipliedReportingOverflow(by: 1_000_000_000).partialValue &+ Int64(time.tv_nsec)
            }
            device = UInt64(information.st_dev)
            inode = UInt64(information.st_ino)
            size = Int64(information.st_size)
            modified = nanoseconds(information.st_mtim)
            changed = nanoseconds(information.st_ctim)
        }

        /// Whether somebody may still be writing it: then a part of it could be read, or a further change be missed, because
        /// the file system's clock is coarse.
        ///
        /// - Parameter now: nanoseconds since 1970. A file that is from the future counts as old.
        func isYoung(at now: Int64, than age: Duration) -> Bool {
            let (seconds, attoseconds) = age.components
            let limit = seconds * 1_000_000_000 + attoseconds / 1_000_000_000
            return (0..<max(limit, 0)).contains(now &- modified)
        }
    }

    /// What was seen at the last look that said something new.
    private enum Seen: Hashable {
        case file(Stamp)
        case nothing
    }

    private enum Look {
        case same
        case accounts(Stamp, PasswordFile)
        case broken(Seen, any Error)
    }

    private struct State {
        var seen: Seen?
        var isBroken = false
        var isLooking = false
        var nextLook: ContinuousClock.Instant
    }

    /// Compares with the accounts that are in force.
    let passwords: PasswordCheck
    private let path: FilePath
    private let interval: Duration
    private let age: Duration
    private let report: @Sendable (Failure) -> Void
    private let state: Mutex<State>

    /// Reads the file.
    ///
    /// - Parameters:
    ///   - settledAfter: a file that was changed less than that ago may be half written, and is left for later; nil for the
    ///     time between two looks.
    ///   - report: is told of each change that cannot be read.
    /// - Throws: what `PasswordFile` throws.
    init(
        _ path: FilePath, _ rules: AccessRules, settledAfter: Duration? = nil,
        report: @escaping @Sendable (Failure) -> Void
    ) async throws {
        let interval = rules.rereadAfter
        let age = settledAfter ?? interval
        let (stamp, file) = try await BlockingPool.shared.run {
            let stamp = try? Stamp(path)
            let file = try PasswordFile(path)
            // One that was young, or could not be looked at, is read once more.
            return (stamp.flatMap { $0.isYoung(at: Self.now(), than: age) ? nil : $0 }, file)
        }
        passwords = PasswordCheck(
            file, rememberedFor: rules.rememberedFor, concurrentChecks: rules.concurrentChecks)
        self.path = path
        self.interval = interval
        self.age = age
        self.report = report
        state = Mutex(State(seen: stamp.map(Seen.file), nextLook: .now + interval))
    }

    /// Whether the file has become something that cannot be read.
    var isBroken: Bool { state.withLock { $0.isBroken } }

    /// Reads the file again if it has changed. Whoever comes while another one does that goes on with the accounts of before.
    func refresh() async {
        let known = state.withLock { state -> Seen?? in
            guard !state.isLooking, ContinuousClock.now >= state.nextLook else { return nil }
            state.isLooking = true
            return .some(state.seen)
        }
        guard let known else { return }
        let (path, age) = (path, age)
        let look: Look
        do {
            look = try await BlockingPool.shared.run { Self.look(at: path, known: known, age: age) }
        } catch {
            // The request was cancelled: the next one looks.
            look = .same
        }
        var news: (any Error)?
        switch look {
        case .same: break
        case .accounts(_, let file): passwords.replace(file)
        case .broken(_, let error): news = error
        }
        state.withLock { state in
            state.isLooking = false
            state.nextLook = .now + interval
            switch look {
            case .same: break
            case .accounts(let stamp, _):
                state.seen = .file(stamp)
                state.isBroken = false
            case .broken(let seen, _):
                state.seen = seen
                state.isBroken = true
            }
        }
        guard let news else { return }
        report(
            Failure(
                .invalidInput,
                "the file of accounts has changed and cannot be read; the accounts of before stay in force",
                at: path.string,
                causes: [news]
            ))
    }

    private static func look(at path: FilePath, known: Seen?, age: Duration) -> Look {
        let stamp: Stamp
        do {
            stamp = try Stamp(path)
        } catch {
            return known == .nothing ? .same : .broken(.nothing, error)
        }
        guard known != .file(stamp), !stamp.isYoung(at: now(), than: age) else { return .same }
        do {
            return .accounts(stamp, try PasswordFile(path))
        } catch {
            return .broken(.file(stamp), error)
        }
    }

    private static func now() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec)
    }
}
