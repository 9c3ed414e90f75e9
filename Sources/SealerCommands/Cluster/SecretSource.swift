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
    private let environment: [String: String]
    private let read: @Sendable (String) async throws -> String
    private let answers = Mutex<[SecretReference: Task<String, any Error>]>([:])

    /// Makes a source.
    ///
    /// - Parameter read: asks at the terminal, without showing what is typed.
    init(environment: [String: String], read: @escaping @Sendable (String) async throws -> String) {
        self.environment = environment
        self.read = read
    }

    /// The secrets for a host.
    func secrets(of settings: SSHSettings, host: String) -> SSHSecrets {
        let login = settings.user.map { "\($0)@\(host)" } ?? host
        var secrets = SSHSecrets()
        if let password = settings.password {
            secrets = SSHSecrets(password: { try await self.secret(password, "password of \(login)") })
        }
        if let passphrase = settings.passphrase {
            secrets.passphrase = { key in try await self.secret(passphrase, "passphrase of \(key)") }
        }
        return secrets
    }

    /// The secret itself; hosts that refer to the same one wait for one answer.
    func secret(_ reference: SecretReference, _ what: String) async throws -> String {
        let task = answers.withLock { answers in
            if let known = answers[reference] { return known }
            let task = Task { try await self.fetch(reference, what) }
            answers[reference] = task
            return task
        }
        return try await task.value
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
