import FoundationEssentials
import Glibc
import Remote
import Report

extension AgentServer {
    /// How long a command has between SIGTERM and SIGKILL.
    private static let patience = Duration.seconds(5)

    /// Runs a command, passing its output on as it comes. However this ends, no process of the command's session is left, unless
    /// the command itself ended in time and left some behind on purpose.
    func run(_ command: RemoteCommand, limit: Duration, _ stream: LinkStream) async throws -> AgentReply {
        var note = try await commands.begin()
        var command = command
        command.environment[CommandNote.variable] = note.token
        let child: ChildProcess
        do {
            child = try await ChildProcess.start(command)
        } catch {
            await commands.endRest(of: note)
            throw error
        }
        do {
            try await commands.started(&note, leader: child.identifier)
            let status = try await talk(child, command, limit: limit, stream)
            await commands.remove(note)
            return .exited(status: status)
        } catch {
            await commands.ending(&note)
            await Self.end(child)
            // Those too that the first process left behind when it ended, or that made groups of their own.
            await commands.endRest(of: note)
            throw error
        }
    }

    private func talk(
        _ child: ChildProcess, _ command: RemoteCommand, limit: Duration, _ stream: LinkStream
    ) async throws -> Int32 {
        // Not before the command is noted: a script does nothing until it has come.
        let feeder = Task { await feed(child, stream) }
        defer { feeder.cancel() }
        let status = try await withTaskCancellationHandler {
            try await follow(child, command, limit: limit, stream)
        } onCancel: {
            child.signal(SIGTERM)
        }
        await child.dropInput()
        // One that was told to end may have left others behind, which nobody wants any more.
        try Task.checkCancellation()
        return status
    }

    private func follow(
        _ child: ChildProcess,
        _ command: RemoteCommand,
        limit: Duration,
        _ stream: LinkStream
    ) async throws -> Int32 {
        let deadline = ContinuousClock.now + limit
        while true {
            switch try await child.next(until: min(deadline, .now + .milliseconds(500))) {
            case .output(let bytes): try await stream.send(bytes)
            case .error(let bytes): try await stream.send(bytes, .errorData)
            case .exited(let status): return status
            case .expired: break
            }
            try Task.checkCancellation()
            try await Failpoint.reach("in run")
            guard ContinuousClock.now < deadline else {
                throw Failure(
                    .timeout,
                    "\(command.arguments.first ?? "the command") did not end within \(limit.inWords) and was killed"
                )
            }
        }
    }

    /// Hands the command its input.
    private func feed(_ child: ChildProcess, _ stream: LinkStream) async {
        var takesInput = true
        do {
            for try await item in stream.items {
                switch item {
                case .data(let bytes):
                    if takesInput {
                        // A command need not read what it is given.
                        do { try await child.write(bytes) } catch { takesInput = false }
                    }
                    try await stream.taken(bytes.count)
                case .end: await child.closeInput()
                case .message, .errorData: break
                }
            }
        } catch {
            // The link is gone; the request is being cancelled.
        }
    }

    /// Ends what still runs of a command's group: SIGTERM, then SIGKILL.
    private static func end(_ child: ChildProcess) async {
        await child.dropInput()
        for signal in [SIGTERM, SIGKILL] {
            child.signal(signal)
            let deadline = ContinuousClock.now + patience
            do {
                while true {
                    let event = try await child.next(until: deadline)
                    if event == .expired { break }
                    guard case .exited = event else { continue }
                    return
                }
            } catch {
                // Nothing can be read of it any more; the next signal still reaches it.
            }
        }
    }
}
