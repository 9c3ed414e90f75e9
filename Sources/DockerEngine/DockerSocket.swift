import Glibc
import NIOCore
import Report
import SystemPackage

/// Where the Docker engine listens.
public struct DockerSocket: Sendable, Hashable {
    /// The path of its unix socket.
    public let path: FilePath

    /// The socket that Docker uses where nobody says otherwise.
    public static let standard = DockerSocket(path: "/var/run/docker.sock")

    /// Names a socket.
    public init(path: FilePath) {
        self.path = path
    }

    /// Finds the socket as Docker's own tools do: `DOCKER_HOST` when it is set, else the standard path.
    ///
    /// - Throws: `Failure` of kind `invalidInput` when `DOCKER_HOST` names anything but a unix socket.
    public init(environment: [String: String]) throws {
        guard let host = environment["DOCKER_HOST"], !host.isEmpty else {
            self = .standard
            return
        }
        let scheme = "unix://"
        guard host.hasPrefix(scheme), host.dropFirst(scheme.count).hasPrefix("/") else {
            throw Failure(
                .invalidInput,
                "DOCKER_HOST is \"\(host.prefix(200))\", and sealer reaches a Docker engine by its unix socket only",
                remedy: "set DOCKER_HOST to unix:///PATH, or unset it"
            )
        }
        path = FilePath(String(host.dropFirst(scheme.count)))
    }

    /// What an error of the connection means for the user.
    func explain(_ error: any Error, purpose: String) -> any Error {
        if error is Failure || error is CancellationError { return error }
        let code = (error as? IOError)?.errnoCode
        switch code {
        case ENOENT, ECONNREFUSED:
            return Failure(
                .unavailable,
                code == ENOENT
                    ? "there is no Docker engine: the socket does not exist" : "no Docker engine answers here",
                at: path.string,
                remedy: "start Docker, or set DOCKER_HOST to the socket of the engine to use"
            )
        case EACCES, EPERM:
            return Failure(
                .denied,
                "may not use the Docker engine's socket",
                at: path.string,
                remedy: "run as root, or as a member of the group that owns the socket"
            )
        default:
            return Failure(
                .unreachable,
                "the connection to the Docker engine broke, wanted to \(purpose)",
                at: path.string,
                causes: [error]
            )
        }
    }
}
