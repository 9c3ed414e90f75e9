import Report
import Synchronization

/// Answers ssh's questions while one connection is made: each secret once, so that a wrong one shows at once and is not tried again
/// until the account is locked.
final class SSHAnswers: Sendable {
    /// A question that was not answered.
    struct Refusal: Sendable, Hashable {
        var question: SSHQuestion
        /// Whether it had been answered before: what was given was wrong.
        var isRepetition: Bool
    }

    private struct State {
        var answered: Set<SSHQuestion> = []
        var refusals: [Refusal] = []
        var error: (any Error)?
    }

    private let configuration: SSHConfiguration
    private let secrets: SSHSecrets
    private let state = Mutex(State())

    init(_ secrets: SSHSecrets, _ configuration: SSHConfiguration) {
        self.secrets = secrets
        self.configuration = configuration
    }

    /// What was not answered, in order.
    var refusals: [Refusal] { state.withLock { $0.refusals } }
    /// What went wrong where a secret should have come from.
    var error: (any Error)? { state.withLock { $0.error } }
    /// Whether the password was given.
    var gavePassword: Bool { state.withLock { $0.answered.contains(.password) } }

    /// The answer to a question.
    ///
    /// - Parameter stop: is called, before ssh gets its refusal, when going on would only hand an empty answer to the host.
    func answer(_ text: String, stop: @Sendable () -> Void) async -> String? {
        let question = SSHQuestion(text, configuration)
        let isRepetition = state.withLock { !$0.answered.insert(question).inserted }
        do {
            if !isRepetition, let secret = try await secret(for: question) {
                guard !secret.utf8.contains(where: { $0 == 0 || $0 == 0x0a }), secret.utf8.count <= AskPass.limit else {
                    throw Failure(
                        .invalidInput, "a password with line ends, or of such a length, cannot be given to ssh")
                }
                return secret
            }
        } catch {
            state.withLock { $0.error = $0.error ?? error }
            stop()
            return nil
        }
        state.withLock { state in
            if !isRepetition { state.answered.remove(question) }
            if state.refusals.count < 100 {
                state.refusals.append(Refusal(question: question, isRepetition: isRepetition))
            }
        }
        if !question.mayGoUnanswered { stop() }
        return nil
    }

    private func secret(for question: SSHQuestion) async throws -> String? {
        switch question {
        case .password: try await secrets.password?()
        case .passphrase(let key): try await secrets.passphrase?(key)
        case .elsewhere, .hostKey, .challenge, .other: nil
        }
    }
}
