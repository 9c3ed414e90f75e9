import FoundationEssentials
import NIOHTTP1
import Report
import SystemPackage

/// A Docker engine, reached by its HTTP API on its unix socket; the `docker` command is not needed.
///
/// Follows the Docker Engine API, versions 1.40 (Docker 19.03) and later. Every request has a limit on its time and its
/// answer is bounded.
public struct DockerClient: Sendable {
    /// The oldest API version that has what is needed here (private cgroup namespaces came with 1.40).
    static let oldestVersion = APIVersion(major: 1, minor: 40)
    /// The newest API version that this code was written against.
    static let newestVersion = APIVersion(major: 1, minor: 51)

    /// The engine's socket.
    public let socket: DockerSocket
    /// The API version that both sides know.
    public let version: APIVersion

    init(socket: DockerSocket, version: APIVersion) {
        self.socket = socket
        self.version = version
    }

    /// Finds the engine, asks whether it is alive and settles the API version.
    ///
    /// - Parameter environment: where `DOCKER_HOST` is looked up.
    /// - Throws: `Failure` of kind `unavailable` when no engine is there or it is too old, `denied` when the socket may not be
    ///   used, `invalidInput` for a `DOCKER_HOST` that is no unix socket.
    public static func connect(environment: [String: String]) async throws -> DockerClient {
        try await connect(DockerSocket(environment: environment))
    }

    /// Asks the engine at a socket whether it is alive and settles the API version.
    public static func connect(_ socket: DockerSocket) async throws -> DockerClient {
        let response = try await socket.exchange(
            EngineRequest(method: .GET, path: "/_ping", purpose: "ask whether it is alive", limit: .seconds(30))
        )
        guard response.status == 200 else {
            throw Failure(
                .unavailable,
                "the Docker engine says it is not well: \(Self.message(of: response))",
                at: socket.path.string
            )
        }
        guard let text = response.headers.first(name: "Api-Version"), let offered = APIVersion(text) else {
            throw Failure(
                .integrity,
                "what answers at the Docker engine's socket does not say its API version",
                at: socket.path.string
            )
        }
        guard offered >= oldestVersion else {
            throw Failure(
                .unavailable,
                "the Docker engine knows its API up to \(offered), needed is \(oldestVersion)",
                at: socket.path.string,
                remedy: "use Docker 19.03 or later"
            )
        }
        return DockerClient(socket: socket, version: min(offered, newestVersion))
    }

    /// What the engine and its machine have.
    public func info() async throws -> EngineInfo {
        try await json(.GET, "/info", purpose: "ask what it has")
    }

    // MARK: - Requests

    /// Sends a request and decodes the answer.
    func json<Answer: Decodable & Sendable>(
        _ method: HTTPMethod,
        _ path: String,
        _ body: RequestBody = .none,
        purpose: String,
        place: String? = nil,
        limit: Duration = .seconds(60)
    ) async throws -> Answer {
        let response = try await send(method, path, body, purpose: purpose, place: place, limit: limit)
        do {
            return try JSONDecoder().decode(Answer.self, from: response.body)
        } catch {
            throw Failure(
                .integrity,
                "the Docker engine's answer is not the JSON it should be, wanted to \(purpose)",
                at: place ?? socket.path.string,
                causes: [error]
            )
        }
    }

    /// Sends a request whose answer does not matter beyond its status.
    ///
    /// - Parameters:
    ///   - place: the container, network or volume concerned, for the message.
    ///   - accepting: statuses outside 200…299 that are no error.
    @discardableResult
    func send(
        _ method: HTTPMethod,
        _ path: String,
        _ body: RequestBody = .none,
        purpose: String,
        place: String? = nil,
        limit: Duration = .seconds(60),
        accepting: Set<Int> = []
    ) async throws -> EngineResponse {
        let response = try await socket.exchange(
            EngineRequest(method: method, path: "/v\(version)\(path)", body: body, purpose: purpose, limit: limit)
        )
        guard (200...299).contains(response.status) || accepting.contains(response.status) else {
            throw refusal(response, purpose: purpose, place: place)
        }
        return response
    }

    func refusal(_ response: EngineResponse, purpose: String, place: String?) -> Failure {
        let kind: Failure.Kind =
            switch response.status {
            case 401, 403: .denied
            case 404: .notFound
            case 409: .conflict
            default: .system
            }
        return Failure(
            kind,
            "the Docker engine refused to \(purpose): \(Self.message(of: response))",
            at: place ?? socket.path.string
        )
    }

    /// The `message` member of the engine's error answers, else their beginning.
    static func message(of response: EngineResponse) -> String {
        struct Refusal: Decodable { var message: String }
        if let refusal = try? JSONDecoder().decode(Refusal.self, from: response.body) {
            return String(refusal.message.prefix(4000))
        }
        let text = String(decoding: response.body.prefix(500), as: UTF8.self).split(separator: "\n").joined(
            separator: " ")
        return text.isEmpty ? "status \(response.status)" : "status \(response.status), \(text)"
    }

    static func body(_ value: JSON) throws -> RequestBody {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return .json(try encoder.encode(value))
    }

    /// The query that finds what carries a label.
    static func filter(label: String) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .withoutEscapingSlashes
        let filters = try encoder.encode(["label": [label]])
        return "filters=\(escape(String(decoding: filters, as: UTF8.self)))"
    }

    /// Percent-encodes all but the unreserved characters (RFC 3986, 2.3), so that a name stays one part of the path.
    static func escape(_ text: String) -> String {
        let digits = Array("0123456789ABCDEF".utf8)
        var bytes: [UInt8] = []
        for byte in text.utf8 {
            switch byte {
            case 48...57, 65...90, 97...122, 0x2d, 0x2e, 0x5f, 0x7e: bytes.append(byte)
            default: bytes += [0x25, digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// A version of the Docker Engine API.
public struct APIVersion: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// Before the dot.
    public let major: Int
    /// After the dot.
    public let minor: Int

    init(major: Int, minor: Int) {
        self.major = major
        self.minor = minor
    }

    /// Parses `1.41`; nil for anything else.
    public init?(_ text: String) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 2, let major = Int(parts[0]), let minor = Int(parts[1]), major >= 0, minor >= 0 else {
            return nil
        }
        self.init(major: major, minor: minor)
    }

    /// `1.41`.
    public var description: String { "\(major).\(minor)" }

    /// Orders by age.
    public static func < (left: APIVersion, right: APIVersion) -> Bool {
        (left.major, left.minor) < (right.major, right.minor)
    }
}

/// What an engine and its machine have.
public struct EngineInfo: Sendable, Hashable, Decodable {
    /// The engine's version.
    public var serverVersion: String
    /// `1` or `2`; engines before 20.10 do not say.
    public var cgroupVersion: String?
    /// `overlay2`, …
    public var storageDriver: String
    /// The machine's operating system.
    public var operatingSystem: String
    /// Processors.
    public var processors: Int
    /// Memory in bytes.
    public var memory: Int64

    private enum CodingKeys: String, CodingKey {
        case serverVersion = "ServerVersion"
        case cgroupVersion = "CgroupVersion"
        case storageDriver = "Driver"
        case operatingSystem = "OperatingSystem"
        case processors = "NCPU"
        case memory = "MemTotal"
    }
}
