import FoundationEssentials
import Subprocess
import SystemPackage
import Testing

/// What the cluster tests work with: the executable, a Docker engine, a node image, the base image's build context.
/// `scripts/test.sh` makes them and names them in the environment.
struct Machine: Sendable {
    let sealer: String
    let kubectl: String
    let baseContext: String
    let nodeImage: String
    let repository: FilePath

    /// Why the tests cannot run here; nil when they can.
    static var lack: String? {
        let environment = ProcessInfo.processInfo.environment
        let missing = [
            "SEALER_TEST_EXECUTABLE", "SEALER_TEST_KUBECTL", "SEALER_TEST_BASE_CONTEXT", "SEALER_TEST_NODE_IMAGE",
            "DOCKER_HOST",
        ]
        .filter { environment[$0] == nil }
        return missing.isEmpty ? nil : "not set: \(missing.joined(separator: ", ")); make test sets them"
    }

    init() throws {
        let environment = ProcessInfo.processInfo.environment
        sealer = try #require(environment["SEALER_TEST_EXECUTABLE"])
        kubectl = try #require(environment["SEALER_TEST_KUBECTL"])
        baseContext = try #require(environment["SEALER_TEST_BASE_CONTEXT"])
        nodeImage = try #require(environment["SEALER_TEST_NODE_IMAGE"])
        repository = FilePath(#filePath).removingLastComponent().removingLastComponent().removingLastComponent()
    }

    /// How a command ended.
    struct Outcome {
        var status: Int32
        var output: String
        var error: String
    }

    /// Runs a command, with its output kept; the environment is this process's with additions.
    @discardableResult
    func run(_ arguments: [String], environment: [String: String] = [:]) async throws -> Outcome {
        var variables = Environment.inherit
        for (name, value) in environment {
            variables = variables.updating([Environment.Key(stringLiteral: name): value])
        }
        let program = try #require(arguments.first)
        let result = try await Subprocess.run(
            program.contains("/") ? .path(FilePath(program)) : .name(program),
            arguments: Arguments(Array(arguments.dropFirst())),
            environment: variables,
            output: .string(limit: 4 << 20),
            error: .string(limit: 4 << 20)
        )
        let status: Int32 =
            switch result.terminationStatus {
            case .exited(let code): Int32(code)
            case .signaled(let signal): 128 + Int32(signal)
            }
        return Outcome(status: status, output: result.standardOutput, error: result.standardError)
    }

    /// Runs a command that must succeed.
    @discardableResult
    func check(_ arguments: [String], environment: [String: String] = [:]) async throws -> String {
        let outcome = try await run(arguments, environment: environment)
        try #require(outcome.status == 0, "\(arguments.joined(separator: " ")): \(outcome.error)\(outcome.output)")
        return outcome.output
    }

    /// Everything of a cluster that Docker knows: of what kind, and which.
    private func things(of cluster: String) async throws -> [(kind: String, name: String)] {
        var found: [(kind: String, name: String)] = []
        for (kind, all) in [("container", ["--all"]), ("volume", []), ("network", [])] {
            let output = try await check(
                ["docker", kind, "ls", "--quiet", "--filter", "label=io.sealer.cluster=\(cluster)"] + all)
            found += output.split(separator: "\n").map { (kind, String($0)) }
        }
        return found
    }

    /// What is left of a cluster.
    func leftovers(of cluster: String) async throws -> [String] {
        try await things(of: cluster).map { "\($0.kind) \($0.name)" }
    }

    /// Takes away what a test that was killed has left of its cluster.
    func clear(_ cluster: String) async throws {
        for (kind, name) in try await things(of: cluster) {
            try await check(["docker", kind, "rm"] + (kind == "container" ? ["--force", "--volumes"] : []) + [name])
        }
    }
}
