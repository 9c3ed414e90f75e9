import Glibc
import Report

/// The processes of noted commands: those of their sessions, whatever groups they made.
enum CommandSessions {
    /// What still runs of commands. Blocking.
    static func processes(of notes: [CommandNote]) throws -> Set<ProcessEntry> {
        guard !notes.isEmpty else { return [] }
        let all = try ProcessTable.all()
        let own = getsid(0)
        // Numbers below 2 are those of processes outside of a container, and of the machine's first one.
        let running = all.filter { !$0.hasEnded && $0.session > 1 && $0.group > 1 && $0.session != own }
        return try notes.reduce(into: []) { found, note in
            found.formUnion(try processes(of: note, all, running))
        }
    }

    private static func processes(
        of note: CommandNote, _ all: [ProcessEntry], _ running: [ProcessEntry]
    ) throws -> [ProcessEntry] {
        guard let leader = note.leader else {
            // Its agent died while it started it: nobody but its environment knows it.
            let sessions = Set(
                try running.filter { try ProcessTable.carries(note.assignment, $0.mark) }.map(\.session))
            return running.filter { sessions.contains($0.session) }
        }
        let members = running.filter { $0.session == leader.number }
        if let now = all.first(where: { $0.mark.number == leader.number }) {
            return now.mark == leader ? members : []
        }
        // The first process is gone, and the session may be that of another one that had its number since. A session is never
        // two commands' at once, so one of its processes tells for all.
        let isOurs = try members.contains { try ProcessTable.carries(note.assignment, $0.mark) }
        return isOurs ? members : []
    }

    /// Ends what still runs of commands.
    ///
    /// - Parameters:
    ///   - first: the first signal; SIGKILL comes after it.
    ///   - patience: how long each signal may take.
    ///   - blocking: runs what blocks.
    /// - Throws: `Failure` of kind `system` that names what does not end.
    static func end(
        _ notes: [CommandNote], first: Int32, patience: Duration,
        blocking: @Sendable (@escaping @Sendable () throws -> Set<ProcessEntry>) async throws -> Set<ProcessEntry>
    ) async throws {
        var left: Set<ProcessEntry> = []
        for signal in first == SIGKILL ? [SIGKILL] : [first, SIGKILL] {
            let deadline = ContinuousClock.now + patience
            var told: Set<pid_t> = []
            while true {
                left = try await blocking { try processes(of: notes) }
                if left.isEmpty { return }
                if ContinuousClock.now >= deadline { break }
                for group in Set(left.map(\.group)).subtracting(told) where group != getpgrp() { kill(-group, signal) }
                // A process may make itself a group between the look and the signal, so SIGKILL is given again and again.
                if signal != SIGKILL { told.formUnion(left.map(\.group)) }
                try await Task.sleep(for: .milliseconds(50))
            }
        }
        let process = left.map(\.mark).min { $0.number < $1.number }
        let name = try process.map { try ProcessTable.name($0) } ?? "?"
        throw Failure(
            .system, "process \(process?.number ?? 0) (\(name)) of an earlier command does not end",
            remedy: "look what it waits for; a restart of the host ends it")
    }
}
