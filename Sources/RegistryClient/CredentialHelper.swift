import FoundationEssentials
import Glibc
import Report
import Subprocess
import SystemPackage

/// A program `docker-credential-NAME` that keeps secrets: docker's protocol of credential helpers. Secrets pass only through its
/// standard input and output, and nothing of what it prints gets into a message.
struct CredentialHelper: Sendable {
    /// Without `docker-credential-`.
    let name: String
    /// Its environment; nil means that of this process.
    let environment: [String: String]?
    /// How long it may take.
    let limit: Duration

    /// The most that is read of what it prints, in bytes.
    private static let outputLimit = 64 << 10

    /// The most that is written to it: a pipe takes that much before anybody reads.
    private static let inputLimit = 32 << 10

    private struct Entry: Codable {
        var serverURL: String?
        var username: String
        var secret: String

        enum CodingKeys: String, CodingKey {
            case serverURL = "ServerURL"
            case username = "Username"
            case secret = "Secret"
        }
    }

    private var program: String { "docker-credential-\(printable(name, limit: 60))" }

    /// What it has for a registry; nil when it has nothing.
    ///
    /// - Throws: `Failure` of kind `unavailable`, `timeout` or `integrity`.
    func get(_ server: String) async throws -> Credential? {
        let result = try await run("get", input: Array(server.utf8))
        guard result.isSuccess else {
            // The words that docker's own helpers use; they come on standard output.
            if String(decoding: result.output, as: UTF8.self).contains("credentials not found") { return nil }
            throw Failure(
                .unavailable,
                "\(program) could not say the login of \(printable(server, limit: 100))",
                remedy: "try it by hand: echo \(printable(server, limit: 100)) | \(program) get"
            )
        }
        guard let entry = try? JSONDecoder().decode(Entry.self, from: Data(result.output)) else {
            throw Failure(.integrity, "\(program) printed something else than a login in JSON")
        }
        if entry.username.isEmpty && entry.secret.isEmpty { return nil }
        return entry.username == "<token>"
            ? .identityToken(entry.secret) : .password(user: entry.username, password: entry.secret)
    }

    /// Has it keep a login.
    func store(_ credential: Credential, for server: String) async throws {
        let entry =
            switch credential {
            case .password(let user, let password): Entry(serverURL: server, username: user, secret: password)
            case .identityToken(let token): Entry(serverURL: server, username: "<token>", secret: token)
            }
        let result = try await run("store", input: Array(try JSONEncoder().encode(entry)))
        guard result.isSuccess else {
            throw Failure(.unavailable, "\(program) did not keep the login of \(printable(server, limit: 100))")
        }
    }

    /// Has it forget a login; one that it does not have is fine.
    func erase(_ server: String) async throws {
        let result = try await run("erase", input: Array(server.utf8))
        guard result.isSuccess || String(decoding: result.output, as: UTF8.self).contains("credentials not found")
        else {
            throw Failure(.unavailable, "\(program) did not forget the login of \(printable(server, limit: 100))")
        }
    }

    /// A pipe that holds all of the input from the start: a helper that does not read it can then neither stop nor break us.
    /// (The subprocess library ends the process when its own write into a pipe fails.)
    private static func pipe(with input: [UInt8]) throws -> FileDescriptor {
        guard input.count <= inputLimit else {
            throw Failure(.invalidInput, "the login is longer than \(inputLimit) bytes")
        }
        do {
            let (readEnd, writeEnd) = try FileDescriptor.pipe()
            _ = fcntl(readEnd.rawValue, F_SETFD, FD_CLOEXEC)
            _ = fcntl(writeEnd.rawValue, F_SETFD, FD_CLOEXEC)
            try writeEnd.closeAfter { _ = try writeEnd.writeAll(input) }
            return readEnd
        } catch let error as Errno {
            throw Failure(.system, "cannot make a pipe", causes: [error])
        }
    }

    /// Whether a text may be the end of a program's name: it is no path.
    static func isName(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.count <= 100
            && text.utf8.allSatisfy {
                (48...57).contains($0) || (65...90).contains($0) || (97...122).contains($0) || "-_.".utf8.contains($0)
            }
    }

    private func run(_ verb: String, input: [UInt8]) async throws -> (isSuccess: Bool, output: [UInt8]) {
        guard Self.isName(name) else {
            throw Failure(
                .invalidInput, "\"\(printable(name, limit: 60))\" is not the name of a credential helper",
                remedy: "correct credsStore or credHelpers in config.json")
        }
        let environment = environment.map { variables in
            Environment.custom(
                Dictionary(uniqueKeysWithValues: variables.map { (Environment.Key(stringLiteral: $0), $1) }))
        }
        let program = program
        do {
            return try await withLimit(
                limit,
                waitingFor: "\(program) to answer",
                remedy: "see whether it waits for something, for instance to unlock its store"
            ) {
                var options = PlatformOptions()
                options.createSession = true
                options.teardownSequence = [
                    .send(signal: .kill, toProcessGroup: true, allowedDurationToNextStep: .seconds(1))
                ]
                let result = try await Subprocess.run(
                    .name(program),
                    arguments: [verb],
                    environment: environment ?? .inherit,
                    platformOptions: options,
                    input: .fileDescriptor(try Self.pipe(with: input), closeAfterSpawningProcess: true),
                    output: .bytes(limit: Self.outputLimit),
                    error: .discarded
                )
                return (result.terminationStatus.isSuccess, result.standardOutput)
            }
        } catch let error as SubprocessError where error.code == .outputLimitExceeded {
            throw Failure(.integrity, "\(program) printed more than \(Self.outputLimit) bytes")
        } catch let error as SubprocessError where error.code == .executableNotFound {
            throw Failure(
                .unavailable,
                "there is no program \(program), which the configuration says keeps logins",
                remedy: "install it, or take it out of config.json (credsStore, credHelpers) or of registries.conf"
                    + " (credential-helpers)"
            )
        } catch is SubprocessError {
            // Its own text might quote what was written to it.
            throw Failure(.unavailable, "\(program) does not start, or does not take what it is asked")
        }
    }
}
