import Report
import SystemPackage

/// Where a registry listens, and its bounds.
public struct RegistryServerConfiguration: Sendable {
    /// The files of a server's identity.
    public struct TLS: Sendable, Hashable {
        /// The certificate, followed by those between it and the authority (PEM).
        public var certificate: FilePath
        /// Its private key (PEM).
        public var key: FilePath

        /// Names the files.
        public init(certificate: FilePath, key: FilePath) {
            self.certificate = certificate
            self.key = key
        }
    }

    /// The address or name to listen on.
    public var host = "127.0.0.1"
    /// The port; 0 takes a free one.
    public var port = 0
    /// nil speaks plain http.
    public var tls: TLS?
    /// How many connections are served at once; further ones wait to be accepted.
    public var maximumConnections = 256
    /// How long a connection may take to bring its next request, complete.
    public var requestLimit: Duration = .seconds(60)
    /// How long a client may take to take `chunkSize` bytes.
    public var sendLimit: Duration = .seconds(60)
    /// How much is sent in one go, in bytes.
    public var chunkSize: Int64 = 1 << 20
    /// The most bytes of a body that nobody wants that are read, and thrown away, before the connection is closed.
    public var bodyLimit = 1 << 20
    /// How many header fields a request may have.
    public var headerCountLimit = 100
    /// The most bytes of one header field, name and value.
    public var headerFieldLimit = 16 << 10
    /// The most bytes of all header fields together.
    public var headerLimit = 64 << 10

    /// How long a client may take to send `chunkSize` bytes of a body.
    public var receiveLimit: Duration = .seconds(60)

    /// Who may do what.
    public var access = AccessRules()
    /// Whether pushes are taken in; the content must be a `WritableRegistryContent`.
    public var isWritable = false
    /// Whether tags, manifests and blobs can be deleted; only together with `isWritable`.
    public var isDeletable = false
    /// The most bytes that a pushed blob may have.
    public var blobLimit: Int64 = 256 << 30
    /// How many uploads may be open at once, of all accounts.
    public var maximumUploads = 128
    /// How long an upload waits for its next request; then it is dropped with all that came.
    public var uploadIdleLimit: Duration = .seconds(600)

    /// Makes a configuration for plain http on a free port of the loopback interface.
    public init() {}
}

/// One line of the access log.
public struct AccessLine: Sendable, Hashable, CustomStringConvertible {
    /// The client's address.
    public var client: String
    /// The method.
    public var method: String
    /// The address that was asked for, shortened and without characters that are not printable ASCII.
    public var target: String
    /// The status of the reply.
    public var status: UInt
    /// The bytes of the body that were sent.
    public var bytes: Int64
    /// The bytes of the request's body that came.
    public var received: Int64
    /// How long it took.
    public var duration: Duration
    /// Whether the whole reply was handed to the network.
    public var isComplete: Bool
    /// Why the reply is a 500.
    public var problem: String?

    /// `192.0.2.7 GET /v2/… 200 1234 bytes 12 ms`.
    public var description: String {
        "\(client) \(method) \(target) \(status) \(bytes) bytes \(duration.inWords)\(isComplete ? "" : " cut off")"
            + (problem.map { ": \($0)" } ?? "")
    }
}
