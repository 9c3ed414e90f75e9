import FoundationEssentials
import Report

extension AgentHost {
    /// Runs a command and waits for its end.
    public func run(
        _ command: RemoteCommand,
        limit: Duration,
        output: @escaping @Sendable (OutputLine) -> Void
    ) async throws -> CommandResult {
        let program = command.arguments.first ?? ""
        let input = command.input ?? Data()
        var bare = command
        bare.input = nil
        let request = AgentRequest.run(bare, limit: limit / .seconds(1))
        // The agent keeps the limit. Before it, it may have to end what a dead one left, and after it, it takes some seconds to kill
        // what does not want to go; this one is for a dead agent.
        return try await withLimit(limit + .seconds(60), waitingFor: "\(program) to end", at: name) {
            try await self.perform(request) { stream, replies in
                let sender = self.upload(over: stream) { try await stream.send(input) }
                defer { sender.cancel() }
                var collected = CommandOutput()
                do {
                    while true {
                        switch try await replies.next() {
                        case .data(let bytes): collected.take(bytes, .output).forEach(output)
                        case .errorData(let bytes): collected.take(bytes, .error).forEach(output)
                        case .reply(.exited(let status)):
                            collected.finish().forEach(output)
                            return CommandResult(status: status, output: collected.output, error: collected.error)
                        case .reply(let other): throw self.unexpected(other)
                        }
                    }
                } catch var failure as Failure where failure.kind == .timeout {
                    collected.finish().forEach(output)
                    let text = collected.error.isEmpty ? Data(collected.output.suffix(4096)) : collected.error
                    let tail = String(decoding: text, as: UTF8.self).split(separator: "\n").suffix(20)
                    if !tail.isEmpty {
                        failure.causes.append(RemoteCause("its last output:\n\(tail.joined(separator: "\n"))"))
                    }
                    throw failure
                }
            }
        }
    }
}
