import FoundationEssentials
import NIOHTTP1
import Report
import SystemPackage

/// Finds out who a request comes from.
struct AccessControl: Sendable {
    private let rules: AccessRules
    private let accounts: AccountsFile?

    /// Reads the accounts.
    ///
    /// - Parameter report: is told when the file of accounts changes into something that cannot be read.
    /// - Throws: `Failure` of kind `invalidInput` when the file has a line that is not good, or lacks an account that the rules
    ///   name, and `usage` for rules that contradict each other.
    init(_ rules: AccessRules, isWritable: Bool, report: @escaping @Sendable (Failure) -> Void = { _ in }) async throws
    {
        self.rules = rules
        guard let path = rules.htpasswd else {
            accounts = nil
            guard rules.pushers.isEmpty, rules.confined.isEmpty else {
                throw Failure(.usage, "accounts have rights, but there is no file of accounts")
            }
            guard !isWritable || rules.allowsAnonymousPush else {
                throw Failure(
                    .usage,
                    "the registry would take pushes, but nobody may push",
                    remedy: "name a file of accounts and who of them may push, or let everybody push"
                )
            }
            return
        }
        guard !rules.allowsAnonymousPush else {
            throw Failure(.usage, "everybody may push, but there is a file of accounts", at: path.string)
        }
        let accounts = try await AccountsFile(path, rules, report: report)
        // Only now: an account that goes later loses its rights with its password.
        for name in rules.pushers.union(rules.confined.keys).sorted() where !accounts.passwords.knows(name) {
            throw Failure(.invalidInput, "there is no account \(name), which has rights", at: path.string)
        }
        self.accounts = accounts
    }

    /// Whether older accounts are in force than the file should have; nil without accounts.
    var isStale: Bool? { accounts?.isBroken }

    /// The account of a request; nil when it brings no name and password, or wrong ones.
    ///
    /// - Throws: `RegistryError` when too many passwords wait for their check.
    func account(of headers: HTTPHeaders) async throws -> Account? {
        guard let accounts else {
            return Account(name: nil, mayPush: rules.allowsAnonymousPush, repositories: nil)
        }
        await accounts.refresh()
        let fields = headers["authorization"]
        guard fields.count == 1, let field = fields.first, let (name, password) = Self.credentials(field),
            try await accounts.passwords.isRight(password, of: name)
        else { return nil }
        return Account(name: name, mayPush: rules.pushers.contains(name), repositories: rules.confined[name])
    }

    /// Reads `Basic BASE64` (RFC 7617).
    private static func credentials(_ field: String) -> (name: String, password: String)? {
        let words = field.split(separator: " ", omittingEmptySubsequences: true)
        guard words.count == 2, words[0].lowercased() == "basic", let bytes = Data(base64Encoded: String(words[1])),
            let text = String(validating: bytes, as: UTF8.self), let colon = text.firstIndex(of: ":")
        else { return nil }
        return (String(text[..<colon]), String(text[text.index(after: colon)...]))
    }
}
