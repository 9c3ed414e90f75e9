import FoundationEssentials
import ImageStore
import NIOHTTP1
import OCI
import SystemPackage

/// A reply, without the connection's part of it.
struct Reply: Sendable {
    /// What comes after the head.
    enum Body: Sendable {
        case bytes(Data)
        /// A part of a file that the sender closes.
        case file(ImageStore.OpenBlob, Range<Int64>)
    }

    var status: HTTPResponseStatus
    var headers: HTTPHeaders
    var body: Body
    /// What went wrong here, for the log and not for the client.
    var problem: String?

    init(_ status: HTTPResponseStatus, _ headers: HTTPHeaders = [:], _ body: Body = .bytes(Data())) {
        self.status = status
        self.headers = headers
        self.body = body
    }

    /// - Parameter allowed: the methods that the address has, for a 405.
    init(_ error: RegistryError, allowed: String = "GET, HEAD") {
        self.init(error.status, ["Content-Type": "application/json"], .bytes(error.body))
        switch error.status {
        case .methodNotAllowed: headers.add(name: "Allow", value: allowed)
        case .unauthorized: headers.add(name: "WWW-Authenticate", value: "Basic realm=\"sealer\"")
        case .tooManyRequests, .serviceUnavailable: headers.add(name: "Retry-After", value: "5")
        default: break
        }
    }

    /// The length of the body in bytes.
    var length: Int64 {
        switch body {
        case .bytes(let bytes): Int64(bytes.count)
        case .file(_, let range): range.upperBound - range.lowerBound
        }
    }

    static func text(_ text: String, type: String) -> Reply {
        Reply(.ok, ["Content-Type": type], .bytes(Data(text.utf8)))
    }

    static func json(_ value: some Encodable, type: String = "application/json") throws -> Reply {
        Reply(.ok, ["Content-Type": type], .bytes(try canonicalJSON(value)))
    }
}
