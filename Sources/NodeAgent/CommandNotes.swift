import FoundationEssentials
import Glibc
import LinuxSystem
import Report
import Synchronization
import SystemPackage

/// The notes of all agents of a host on the commands that they run.
///
/// A command outlives an agent that is killed, and one whose connection broke takes seconds to end. Its operator comes back
/// sooner than that, and must not do the same beside it.
final class CommandNotes: Sendable {
    /// Where they lie, below `/run/sealer`; nil when none are kept.
    private let folder: FilePath?
    /// How long a command of a dead agent may take after each signal.
    private let patience: Duration
    /// How long another agent may take to end a command.
    private let othersPatience = Duration.seconds(15)
    /// Threads of its own, that neither wait for unpackings and the like nor mind that their task was cancelled.
    private let queue = WorkQueue(width: 2)
    private let left = Mutex<Task<Void, any Error>?>(nil)

    /// - Parameter runFolder: the folder that the notes' own folder is made in; both are removed when they are empty.
    init(runFolder: FilePath?, patience: Duration = .seconds(10)) {
        folder = runFolder?.appending("commands")
        self.patience = patience
    }

    // MARK: - The own commands

    /// Notes a command that is about to be started.
    ///
    /// - Throws: `Failure` that names the folder: what nobody could find again must not be started.
    func begin() async throws -> CommandNote {
        try await blocking { [self] in
            guard let own = try ProcessTable.entry(getpid())?.mark else {
                throw Failure(.system, "cannot find the own process", at: "/proc")
            }
            let note = CommandNote(agent: own)
            try create(note)
            return note
        }
    }

    /// Notes that a command was started.
    ///
    /// - Parameter leader: its first process, which must not be reaped yet.
    func started(_ note: inout CommandNote, leader: pid_t) async throws {
        let before = note
        note = try await blocking { [self] in
            var note = before
            guard let entry = try ProcessTable.entry(leader) else {
                throw Failure(.system, "cannot find the process that was started", at: "/proc/\(leader)")
            }
            note.leader = entry.mark
            try change(before, to: note)
            return note
        }
    }

    /// Notes that a command is being ended.
    func ending(_ note: inout CommandNote) async {
        let before = note
        var after = note
        after.state = .ending
        do {
            try await blocking { [self, after] in try change(before, to: after) }
            note = after
        } catch {
            // It is ended all the same. Should this agent die meanwhile, the note says enough.
        }
    }

    /// Kills what is left of the session of a command that was ended, and forgets the command.
    func endRest(of note: CommandNote) async {
        // In a task of its own: this one may be cancelled.
        await Task.detached { [self] in
            do {
                try await end([note], first: SIGKILL)
            } catch {
                // The note stays: the next agent tries again, and says it.
                return
            }
            await remove(note)
        }.value
    }

    /// Forgets a command that has ended.
    func remove(_ note: CommandNote) async {
        do {
            try await blocking { [self] in try delete(note) }
        } catch {
            // A note that stays tells of nothing that runs, so it does no harm.
        }
    }

    // MARK: - Those of others

    /// Before the first change: ends what agents that are dead have left running, and waits for what others are ending. Commands
    /// that another agent runs for its operator are left alone.
    func endLeft() async throws {
        guard folder != nil else { return }
        let task = left.withLock { task in
            if let task { return task }
            let new = Task.detached { [self] in try await lookAndEnd() }
            task = new
            return new
        }
        do {
            try await task.value
        } catch {
            // Whoever comes next tries again.
            left.withLock { if $0 == task { $0 = nil } }
            throw error
        }
        try Task.checkCancellation()
    }

    private func lookAndEnd() async throws {
        let deadline = ContinuousClock.now + othersPatience
        while true {
            let isLate = ContinuousClock.now >= deadline
            let (doomed, awaited) = try await blocking { [self] in
                var doomed: [CommandNote] = []
                var awaited: [CommandNote] = []
                for note in try read() {
                    if try !ProcessTable.isAlive(note.agent) {
                        doomed.append(note)
                    } else if note.state == .ending {
                        // An agent that hangs wanted it ended too.
                        if isLate { doomed.append(note) } else { awaited.append(note) }
                    }
                }
                return (doomed, awaited)
            }
            try await end(doomed, first: SIGTERM)
            try await blocking { [self] in for note in doomed { try delete(note) } }
            if awaited.isEmpty { return }
            try await Task.sleep(for: .milliseconds(50))
        }
    }

    private func end(_ notes: [CommandNote], first: Int32) async throws {
        try await CommandSessions.end(notes, first: first, patience: patience) { [self] in try await blocking($0) }
    }

    // MARK: - Files

    private func blocking<Result: Sendable>(_ work: @escaping @Sendable () throws -> Result) async throws -> Result {
        try await withCheckedThrowingContinuation { continuation in
            queue.async { continuation.resume(with: Swift.Result { try work() }) }
        }
    }

    private func read() throws -> [CommandNote] {
        guard let folder else { return [] }
        let names: [String]
        do {
            names = try Folder.names(in: folder)
        } catch let failure as Failure where failure.kind == .notFound {
            return []
        }
        return names.compactMap { name in
            guard let note = CommandNote(fileName: name) else { return nil }
            var information = stat()
            guard lstat(folder.appending(name).string, &information) == 0, information.st_mode & S_IFMT == S_IFREG,
                information.st_uid == geteuid()
            else { return nil }
            return note
        }
    }

    private func create(_ note: CommandNote) throws {
        guard let folder else { return }
        let path = folder.appending(note.fileName)
        var error = Errno.noSuchFileOrDirectory
        // Another agent may remove the empty folder just now.
        for _ in 0..<100 where error == .noSuchFileOrDirectory {
            try makeFolder(folder)
            let file = open(path.string, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
            if file >= 0 {
                close(file)
                return
            }
            error = Errno(rawValue: errno)
        }
        throw Failure(.system, "cannot note a command", at: folder.string, causes: [error])
    }

    private func makeFolder(_ folder: FilePath) throws {
        let parent = folder.removingLastComponent()
        try Folder.make(parent.removingLastComponent())
        for path in [parent, folder] {
            guard mkdir(path.string, 0o700) != 0 else { continue }
            let error = Errno(rawValue: errno)
            // The next step tells that the one above was removed meanwhile.
            if error == .noSuchFileOrDirectory, path == folder { continue }
            guard error == .fileExists else {
                throw Failure(.system, "cannot make the folder", at: path.string, causes: [error])
            }
            var information = stat()
            guard lstat(path.string, &information) == 0 else { continue }
            guard information.st_mode & S_IFMT == S_IFDIR, information.st_uid == geteuid(),
                information.st_mode & 0o022 == 0
            else {
                throw Failure(
                    .denied, "is no folder that only its owner, the agent's user, can write to", at: path.string,
                    remedy: "remove it")
            }
        }
    }

    private func change(_ note: CommandNote, to new: CommandNote) throws {
        guard let folder, note != new else { return }
        guard rename(folder.appending(note.fileName).string, folder.appending(new.fileName).string) != 0 else { return }
        let error = Errno(rawValue: errno)
        guard error == .noSuchFileOrDirectory else {
            throw Failure(.system, "cannot note a command", at: folder.string, causes: [error])
        }
        // Somebody emptied the folder.
        try create(new)
    }

    private func delete(_ note: CommandNote) throws {
        guard let folder else { return }
        try Folder.delete(folder.appending(note.fileName))
        // They go when they are empty: a host that is taken back has nothing of them.
        rmdir(folder.string)
        rmdir(folder.removingLastComponent().string)
    }
}
