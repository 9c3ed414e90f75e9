import ClusterRuntime

/// One step of a plan: what is done on which host, why, and after what.
public struct PlanStep: Sendable, Hashable, Codable {
    /// Names a step within its plan: `join/10.0.0.4`.
    public typealias ID = String

    /// The step's name.
    public let id: ID
    /// The part of the plan that it belongs to.
    public let phase: PlanPhase
    /// What is done.
    public let action: StepAction
    /// The host that it is done on; nil for what concerns the whole cluster.
    public let host: String?
    /// What it does, for people, in the infinitive: `join the cluster`.
    public let title: String
    /// Why it is needed: what was found, and what is wanted.
    public let reason: String
    /// Whether it ends or deletes something that somebody may want to keep.
    public let isDestructive: Bool
    /// The steps that must have ended well before.
    public let after: [ID]
    /// Steps of one lane run one at a time, in no particular order: what touches etcd must never happen twice at once.
    public let lane: String?
    /// The most time that it may take, in seconds.
    public let limit: Int

    /// Makes a step.
    public init(
        _ id: ID, _ phase: PlanPhase, _ action: StepAction, host: String? = nil, title: String, reason: String,
        isDestructive: Bool = false, after: [ID] = [], lane: String? = nil, limit: Int
    ) {
        self.id = id
        self.phase = phase
        self.action = action
        self.host = host
        self.title = title
        self.reason = reason
        self.isDestructive = isDestructive
        self.after = after
        self.lane = lane
        self.limit = limit
    }

    /// One line that says where, what and why.
    public var summary: String { "\(host.map { "\($0): " } ?? "")\(title) (\(reason))" }
}

/// The parts of a plan, in the order in which people think of them.
public enum PlanPhase: String, Sendable, Hashable, Codable, CaseIterable {
    /// Names, and what a host needs before anything else.
    case prepare
    /// The image's bytes come to the hosts.
    case distribute
    /// The container runtime, kubelet, and the pod network.
    case install
    /// The control plane starts, or grows.
    case controlPlane
    /// Workers become members.
    case join
    /// Labels, taints, and other things that Kubernetes keeps.
    case configure
    /// Applications start.
    case launch
    /// What was done is looked at.
    case verify
    /// Members leave.
    case leave
    /// What sealer brought is taken off hosts.
    case clean
}

/// What a step does. Everything else that is needed to do it comes from the cluster's blueprint.
public enum StepAction: Sendable, Hashable, Codable {
    /// Makes hosts that are not there: containers.
    case provision
    /// Gets to a host that did not answer when the plan was made. It fails: what the host needs is in no plan yet.
    case reach
    /// Sends the rootfs from the operator's store.
    case sendRootfs
    /// Sends the whole image from the operator's store, and gives it its name.
    case sendImage
    /// Fetches the rootfs from the cluster's registry.
    case fetchRootfs
    /// Fetches the whole image from the registry of another master, and gives it its name.
    case fetchImage
    /// Unpacks the rootfs.
    case unpackRootfs
    /// Writes the names that the host knows; `through` is the master whose API server and registry it uses until it has its own.
    case writeNames(through: String?)
    /// Brings files and the service of one aspect into the state that the blueprint says.
    case configure(NodeAspect.Name)
    /// Ends the cluster's registry on a master that shall not run it, and takes the image out of its store.
    case endRegistry
    /// Runs the rootfs' scripts that install the container runtime and kubelet.
    case installRuntime
    /// Takes the remains of an interrupted `kubeadm init` or `kubeadm join` away.
    case cleanKubernetes
    /// Starts the first control plane.
    case initialise
    /// Makes the host a further master.
    case joinMaster
    /// Makes the host a worker.
    case joinNode
    /// Tells the cluster its configuration; the parts that are other ones than before, by their names.
    case uploadConfiguration([String])
    /// Brings the master's control plane to the cluster's configuration.
    case reconfigureControlPlane
    /// Brings etcd of the host to the cluster's configuration.
    case reconfigureEtcd
    /// Brings the node's kubelet to the cluster's configuration.
    case reconfigureKubelet
    /// Sets labels and taints of the node.
    case label
    /// Waits until every node is ready.
    case waitForNodes
    /// Runs the launch commands.
    case launch
    /// Waits until every pod is ready.
    case waitForPods
    /// Writes into the cluster what it was made of.
    case record
    /// Moves the pods of the node elsewhere.
    case drain(node: String)
    /// Takes the master out of etcd.
    case removeEtcdMember(node: String)
    /// Deletes the node from Kubernetes.
    case removeNode(node: String)
    /// Takes all that sealer brought off the host.
    case reset
    /// Gives the host a name.
    case setHostname(String)
    /// Does what a plugin of the Clusterfile says at a phase.
    case plugin(String, phase: String)
    /// Notes on the host that all is done that follows its becoming a member.
    case settle
}
