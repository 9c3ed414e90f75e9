import CCrypt
import FoundationEssentials
import ImageStore
import LinuxSystem
import NIOHTTP1
import OCI
import Report
import Synchronization

/// Compares passwords with their hashes: few at once, and not again and again for the same one.
final class PasswordCheck: Sendable {
    private struct State {
        var hashes: [String: String]
        /// What proves that a password was right, and until when that counts.
        var remembered: [String: (proof: Digest, until: ContinuousClock.Instant)] = [:]
        var waiting = 0
    }

    /// libxcrypt takes no longer ones.
    private static let lengthLimit = 511
    /// More than that wait for no check: they are sent away.
    private static let waitingLimit = 64

    private let rememberedFor: Duration
    private let pool: BlockingPool
    /// Known to this process only, so that what is remembered says nothing about a password.
    private let key: Data
    private let state: Mutex<State>

    init(_ file: PasswordFile, rememberedFor: Duration, concurrentChecks: Int) {
        state = Mutex(State(hashes: file.hashes))
        self.rememberedFor = rememberedFor
        pool = BlockingPool(width: max(concurrentChecks, 1))
        var random = SystemRandomNumberGenerator()
        key = Data((0..<32).map { _ in UInt8.random(in: .min ... .max, using: &random) })
    }

    /// Whether there is an account of that name.
    func knows(_ name: String) -> Bool { state.withLock { $0.hashes[name] != nil } }

    /// Takes other accounts. Passwords are remembered on for those that stay as they are.
    func replace(_ file: PasswordFile) {
        state.withLock { state in
            let old = state.hashes
            state.hashes = file.hashes
            state.remembered = state.remembered.filter { old[$0.key] == file.hashes[$0.key] }
        }
    }

    /// How many accounts have a password remembered.
    var rememberedCount: Int { state.withLock { $0.remembered.count } }

    /// Whether the password is the account's.
    ///
    /// - Throws: `RegistryError` when too many checks wait.
    func isRight(_ password: String, of name: String) async throws -> Bool {
        guard password.utf8.count <= Self.lengthLimit, !password.utf8.contains(0) else { return false }
        let proof = proof(of: password, name: name)
        let isKnown = try state.withLock { state in
            if let known = state.remembered[name] {
                if known.until > .now, known.proof == proof { return true }
                if known.until <= .now { state.remembered[name] = nil }
            }
            guard state.waiting < Self.waitingLimit else {
                throw RegistryError(.tooManyRequests, .tooManyRequests, "too many passwords wait for their check")
            }
            state.waiting += 1
            return false
        }
        guard !isKnown else { return true }
        defer { state.withLock { $0.waiting -= 1 } }
        // A name that is not there costs as much as one that is, so that nobody finds out names by the clock.
        let (hash, other) = state.withLock { ($0.hashes[name], $0.hashes.values.first) }
        guard let compared = hash ?? other else { return false }
        let isRight = try await pool.run { Self.matches(password, compared) } && hash != nil
        guard isRight else { return false }
        return state.withLock { state in
            // The account may have changed meanwhile.
            guard state.hashes[name] == compared else { return false }
            state.remembered[name] = (proof, .now + rememberedFor)
            return true
        }
    }

    private func proof(of password: String, name: String) -> Digest {
        let inner = Digest.of(key + Data("\(name.utf8.count):\(name)\(password)".utf8))
        return .of(key + Data(inner.hex.utf8))
    }

    /// Hashes a password anew and compares the whole of both hashes, wherever they differ.
    private static func matches(_ password: String, _ hash: String) -> Bool {
        let memory = UnsafeMutablePointer<crypt_data>.allocate(capacity: 1)
        let size = MemoryLayout<crypt_data>.size
        UnsafeMutableRawPointer(memory).initializeMemory(as: UInt8.self, repeating: 0, count: size)
        defer {
            // The password was in it.
            UnsafeMutableRawPointer(memory).initializeMemory(as: UInt8.self, repeating: 0, count: size)
            memory.deallocate()
        }
        guard let output = crypt_rn(password, hash, memory, Int32(size)) else { return false }
        let actual = Array(String(cString: output).utf8)
        let expected = Array(hash.utf8)
        guard actual.count == expected.count else { return false }
        return zip(actual, expected).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0
    }
}
