import FoundationEssentials
import OCI
import Report

/// The agent's protocol as far as both ends must agree on it.
public enum AgentProtocol {
    /// The version that this code speaks; the two ends are the same executable, so it only guards against mistakes.
    public static let version = 1
    /// The most bytes of a file that is written or read through the agent.
    public static let fileLimit = 64 << 20
    /// The longest line of output that is passed on whole; longer ones are cut into several.
    public static let lineLimit = 16 << 10
    /// The most bytes of one data frame.
    public static let chunkSize = 128 << 10
    /// How often progress is told at most.
    public static let progressInterval = Duration.milliseconds(100)

    package static func encode(_ message: some Encodable) throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return try encoder.encode(message)
    }

    package static func decode<Message: Decodable>(_ type: Message.Type, _ bytes: Data) throws -> Message {
        do {
            return try JSONDecoder().decode(type, from: bytes)
        } catch {
            throw Failure(.integrity, "a message came that is none of the agent's protocol", causes: [error])
        }
    }
}

/// What the operator asks of the agent; the first message of a stream.
public enum AgentRequest: Sendable, Codable, Hashable {
    /// Who are you? Answered by `hello`.
    case hello(version: Int)
    /// Rename your own executable. Answered by `done`.
    case settle(path: String)
    /// What are you and what do you have? Answered by `facts`.
    case facts
    /// Run a command; its input follows as data. Answered by data, then `exited`. The limit is in seconds.
    case run(RemoteCommand, limit: Double)
    /// Write a file; its content follows as data, `size` bytes of it. Answered by `done`.
    case writeFile(path: String, size: Int, permissions: UInt32)
    /// Read a file. Answered by `content` and data, or by `absent`.
    case readFile(path: String, limit: Int)
    /// What lies at these paths? Answered by `files`.
    case inspect(paths: [String])
    /// Delete a file or a folder. Answered by `done`.
    case delete(path: String)
    /// Which of these blobs do you lack? Answered by `missing`.
    case missing([Descriptor])
    /// Take a blob; its bytes follow as data. Answered by `done` when it is verified and has its name.
    case blob(Descriptor)
    /// Give an image its name. Answered by `done`.
    case name(Descriptor, reference: Reference)
    /// Fetch blobs from a registry. Answered by `progress`, then `done`.
    case fetch(FetchRequest)
    /// Unpack an image of your store. Answered by `progress`, then `done`.
    case unpack(UnpackRequest)
    /// What has to do with the lock of a cluster on this host.
    case lease(LeaseRequest)
}

extension AgentRequest {
    /// Whether it may do something that a command must not be doing at the same time. What goes to the store does not: that has
    /// locks of its own.
    package var changesHost: Bool {
        switch self {
        case .run, .writeFile, .delete, .unpack: true
        case .hello, .settle, .facts, .readFile, .inspect, .missing, .blob, .name, .fetch, .lease: false
        }
    }

    /// The request in one word, without what it is about.
    package var word: String {
        switch self {
        case .hello: "hello"
        case .settle: "settle"
        case .facts: "facts"
        case .run: "run"
        case .writeFile: "write-file"
        case .readFile: "read-file"
        case .inspect: "inspect"
        case .delete: "delete"
        case .missing: "missing"
        case .blob: "blob"
        case .name: "name"
        case .fetch: "fetch"
        case .unpack: "unpack"
        case .lease(let request): request.word
        }
    }
}

/// What the agent answers. Exactly one last message ends a stream: any but `progress` and `content`.
public enum AgentReply: Sendable, Codable, Hashable {
    /// The agent's version of the protocol and the digest of its executable.
    case hello(version: Int, digest: Digest)
    /// The host's facts.
    case facts(HostFacts)
    /// The file's size; its bytes follow, then `done`.
    case content(size: Int)
    /// There is no such file, or no lease.
    case absent
    /// The regular files of those asked about, by path.
    case files([String: FileState])
    /// The blobs that are not there.
    case missing([Descriptor])
    /// The lease is taken by who asked for it; from whom it was taken over, if somebody had it.
    case leased(from: LeaseHolder?)
    /// Somebody else has the lease.
    case held(by: LeaseHolder)
    /// How many bytes of the work are done.
    case progress(Int64)
    /// How the command ended; all that it printed came before.
    case exited(status: Int32)
    /// It is done.
    case done
    /// It was not done.
    case failed(RemoteFailure)

    /// Whether nothing follows on the stream.
    var isLast: Bool {
        switch self {
        case .progress, .content: false
        default: true
        }
    }
}

/// A `Failure` on its way from the agent.
public struct RemoteFailure: Sendable, Codable, Hashable {
    var kind: String
    var what: String
    var place: String?
    var remedy: String?
    var causes: [String]

    /// Takes what may cross of an error; texts are cut where they are very long.
    public init(_ error: any Error) {
        let failure =
            switch error {
            case let failure as Failure: failure
            case is CancellationError: Failure(.cancelled, "it was cancelled")
            default: Failure(.software, String(describing: error))
            }
        kind = failure.kind.rawValue
        what = String(failure.what.prefix(16 << 10))
        place = failure.place.map { String($0.prefix(4096)) }
        remedy = failure.remedy.map { String($0.prefix(4096)) }
        causes = failure.causes.prefix(16).map { String(String(describing: $0).prefix(4096)) }
    }

    /// The failure as the operator sees it: the place is on the host.
    func failure(on host: String) -> Failure {
        Failure(
            Failure.Kind(rawValue: kind) ?? .software,
            what,
            at: place.map { "\(host):\($0)" } ?? host,
            remedy: remedy,
            causes: causes.map(RemoteCause.init)
        )
    }
}

/// What lies under a failure on a host: only its text came over.
struct RemoteCause: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) {
        self.description = description
    }
}
