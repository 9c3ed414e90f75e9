import ArgumentParser
import Clusterfile
import Report

/// How hosts of the user's are reached, for commands without a Clusterfile.
struct SSHOptions: ParsableArguments {
    @Option(name: .shortAndLong, help: ArgumentHelp("The login user over SSH.", valueName: "name"))
    var user: String?

    @Option(
        name: [.short, .customLong("passwd"), .customLong("password")],
        help: ArgumentHelp(
            "Where the login user's password is: env:NAME, file:PATH or prompt. The password itself would stand in "
                + "the process list and in the shell's history.", valueName: "reference"))
    var password: String?

    @Option(
        name: [.customLong("pk"), .customLong("identity-file")], help: ArgumentHelp("A private key.", valueName: "path")
    )
    var identityFile: String?

    @Option(
        name: [.customLong("pk-passwd"), .customLong("passphrase")],
        help: ArgumentHelp("Where its passphrase is, as --password.", valueName: "reference"))
    var passphrase: String?

    @Option(help: ArgumentHelp("The SSH port.", valueName: "number"))
    var port: UInt16?

    var settings: SSHSettings {
        SSHSettings(
            user: user, password: password.map { SecretReference(reading: $0) }, identityFile: identityFile,
            passphrase: passphrase.map { SecretReference(reading: $0) }, port: port)
    }

    /// What is to be said of secrets that stand on the command line themselves.
    var warnings: [String] {
        let secrets: [(text: String?, what: String, option: String)] = [
            (password, "password", "--passwd"), (passphrase, "passphrase", "--pk-passwd"),
        ]
        return secrets.compactMap { secret -> String? in
            guard let text = secret.text, case .literal = SecretReference(reading: text) else { return nil }
            return
                "\(secret.option): the \(secret.what) itself stands on the command line, and so also in the process "
                + "list and in the shell's history; env:NAME, file:PATH or prompt keeps it out of both"
        }
    }

    /// Checks a cluster whose secrets are those of the command line, or references.
    ///
    /// - Returns: the messages of what is probably not meant.
    /// - Throws: `Failure` of kind `invalidInput` that names all mistakes.
    func check(_ cluster: Cluster) throws -> [String] {
        try cluster.check()
        // What is said there of a secret itself is meant for a file.
        let others = cluster.problems.filter { problem in
            !["ssh.passwd", "ssh.pkPasswd"].contains { problem.path.hasSuffix($0) }
        }
        return warnings + others.map(\.message)
    }
}

/// What is done about hosts whose keys nobody knows.
struct HostKeyOptions: ParsableArguments {
    @Flag(
        help: """
            Trust the keys of hosts over SSH that were never seen before, and remember them for the cluster, or with 'reset' in \
            your own known_hosts.
            """)
    var acceptNewHostKeys = false
}

/// `--provider`, `--masters` and `--nodes` of a command line.
struct HostOptions {
    let provider: String?
    let masters: String?
    let nodes: String?

    /// The groups that they describe.
    ///
    /// - Throws: `Failure` of kind `usage`.
    func groups() throws -> [HostGroup] {
        let given = try Self.provider(provider)
        let isCounted = [masters, nodes].compactMap { $0 }.allSatisfy { Int($0) != nil }
        let provider = given ?? (isCounted ? .container : .baremetal)
        let masterGroup = try group(
            masters ?? (provider == .container ? "1" : ""), HostGroup.master, "--masters", provider)
        let nodeGroup = try group(nodes ?? (provider == .container ? "1" : ""), HostGroup.node, "--nodes", provider)
        return [masterGroup, nodeGroup].compactMap { $0 }
    }

    /// The provider of that name; nil when none is named.
    ///
    /// - Throws: `Failure` of kind `usage`.
    static func provider(_ name: String?) throws -> HostGroup.Provider? {
        try name.map { text in
            guard let provider = HostGroup.Provider(rawValue: text) else {
                let known = HostGroup.Provider.allCases.map(\.rawValue).joined(separator: ", ")
                throw Failure(.usage, "--provider \(text) is not known, expected one of: \(known)")
            }
            return provider
        }
    }

    private func group(_ text: String, _ role: String, _ option: String, _ provider: HostGroup.Provider) throws
        -> HostGroup?
    {
        guard !text.isEmpty else { return nil }
        if provider == .container {
            guard let count = Int(text), count >= 0 else {
                throw Failure(.usage, "\(option) \(text): containers are counted, a number was expected")
            }
            return count == 0 ? nil : HostGroup(provider: provider, count: count, roles: [role])
        }
        let addresses: [IPAddress]
        do throws(Failure) {
            addresses = try [IPAddress](ranges: text)
        } catch {
            throw Failure(.usage, "\(option): \(error.what)")
        }
        return HostGroup(provider: provider, addresses: addresses, roles: [role])
    }
}
