import Clusterfile
import FoundationEssentials
import Glibc
import LinuxSystem
import Remote
import Report
import Synchronization
import SystemPackage

/// Gets the secrets that a Clusterfile or an option refers to, each once for a command.
final class SecretSource: Sendable {
    private struct Wanted: Hashable {
        var reference: SecretReference
        /// What is asked for; nil where the reference alone says which secret it is.
        var question: String?
    }

    private struct State {
        var answers: [Wanted: Task<String, any Error>] = [:]
        /// The question that was asked last: there is one terminal.
        var question: Task<String, any Error>?
    }

    private let environment: [String: String]
    private let read: @Sendable (String) async throws -> String
    private let state = Mutex(State())

    /// Makes a source.
    ///
    /// - Parameter read: asks at the terminal, without showing what is typed. Called for one question at a time.
    init(environment: [String: String], read: @escaping @Sendable (String) async throws -> String) {
        self.environment = environment
        self.read = read
    }

    /// The secrets for a host.
    func secrets(of settings: SSHSettings) -> SSHSecrets {
        var secrets = SSHSecrets()
        if let password = settings.password {
            // Asked once for all hosts with the user.
            let what = settings.user.map { "password of \($0)" } ?? "password of the login user"
            secrets = SSHSecrets(password: { try await self.secret(password, what) })
        }
        if let passphrase = settings.passphrase {
            secrets.passphrase = { key in try await self.secret(passphrase, "passphrase of \(key)") }
        }
        return secrets
    }

    /// The secret itself; hosts that need the same one wait for one answer.
    func secret(_ reference: SecretReference, _ what: String) async throws -> String {
        let wanted = Wanted(reference: reference, question: reference == .prompt ? what : nil)
        let task = state.withLock { state in
            if let known = state.answers[wanted] { return known }
            let before = reference == .prompt ? state.question : nil
            let task = Task {
                _ = await before?.result
                try Task.checkCancellation()
                return try await self.fetch(reference, what)
            }
            state.answers[wanted] = task
            if reference == .prompt { state.question = task }
            return task
        }
        return try await withTaskCancellationHandler {
            try await task.value
        } onCancel: {
            // Whoever waits for the same answer belongs to the same command.
            task.cancel()
        }
    }

    private func fetch(_ reference: SecretReference, _ what: String) async throws -> String {
        switch reference {
        case .literal(let secret): return secret.value
        case .environment(let name):
            guard let value = environment[name], !value.isEmpty else {
                throw Failure(
                    .denied, "the variable \(name), where the \(what) should be, is not set", remedy: "set it")
            }
            return value
        case .file(let path):
            let bytes = try await BlockingPool.shared.run { try readFile(FilePath(path), limit: 1 << 16) }
            let line = bytes.prefix { $0 != UInt8(ascii: "\n") && $0 != UInt8(ascii: "\r") }
            guard !line.isEmpty else { throw Failure(.denied, "the file of the \(what) is empty", at: path) }
            return String(decoding: line, as: UTF8.self)
        case .prompt: return try await read(what)
        }
    }
}
